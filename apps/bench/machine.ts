// The machine's own bounds, measured beside a test: plain reading of memory, and int8 products.
import { cpus } from "node:os";
import { WrinkleFreeError } from "../../core/index.ts";
import { layouts } from "../../core/native/abi.ts";
import type { Host, Pool } from "../../core/native/host.ts";
import { addressOf, bytesView, type Region } from "../../core/native/memory.ts";
import { type Native, openKernels } from "../../core/native/select.ts";
import { writeStruct } from "../../core/native/struct.ts";
import type { Registry } from "../../core/registry.ts";

/** One reading of the probes: 10^9 bytes a second, 10^9 int8 multiply-adds a second. */
export interface Reading {
  readonly readGbps: number;
  readonly int8Gmacs: number;
}

/** What is read once for a reading: more than caches hold. */
const probeBytes = 512 << 20;
/** Units of the int8 probe (see kernels-zig/ops/probe.zig), and how long it should run. */
const int8Units = 64;
const int8Milliseconds = 4;
const maxThreads = 256;

/** Probes on all threads; memory on huge pages where there are such. */
export class Machine implements Disposable {
  readonly cpu: string;
  readonly isa: string;
  readonly host: Host;
  readonly #native: Native;
  readonly #pool: Pool;
  readonly #memory: Region;
  readonly #result = new BigUint64Array(maxThreads);
  readonly #pairs: number;
  readonly #steps: number;

  /** Throws `plugin` for a kernel library without probes. */
  constructor(registry: Registry, options: { isa?: string; threads: number; bytes?: number }) {
    this.cpu = cpus()[0]?.model.trim() ?? "unknown";
    this.#native = openKernels(registry.kernels, { isa: options.isa });
    this.isa = this.#native.isa;
    this.host = this.#native.host;
    this.#pool = this.#native.host.createPool(options.threads);
    this.#memory = this.#native.host.alloc(options.bytes ?? probeBytes);
    // Memory that was never written is one page of zeros, which a cache holds.
    bytesView(this.#memory.address, this.#memory.bytes).fill(1);
    this.#run("int8", 0);
    this.#pairs = Number(this.#result[0]) * int8Units;
    const trial = 1000;
    const seconds = this.#run("int8", trial);
    this.#steps = Math.max(trial, Math.ceil((trial * int8Milliseconds) / 1000 / seconds));
  }

  read(): Reading {
    const reading = this.#run("read", 0);
    const multiplying = this.#run("int8", this.#steps);
    return {
      readGbps: this.#memory.bytes / reading / 1e9,
      int8Gmacs: (this.#pairs * this.#steps) / multiplying / 1e9,
    };
  }

  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]();
    this.#memory[Symbol.dispose]();
  }

  /** Seconds of one probe. */
  #run(format: "read" | "int8", steps: number): number {
    const entry = this.#native.find("probe", format);
    if (!entry) throw new WrinkleFreeError("plugin", `the kernel library has no ${format} probe`);
    const op = new DataView(new ArrayBuffer(layouts.Op.size));
    const { run, units, grain } = entry;
    writeStruct(op, 0, layouts.Op, { run, units, grain });
    writeStruct(op, layouts.Op.fields.args.offset, layouts.Probe, {
      memory: this.#memory.address,
      bytes: this.#memory.bytes,
      result: addressOf(this.#result),
      steps,
    });
    const step = new DataView(new ArrayBuffer(layouts.Step.size));
    writeStruct(step, 0, layouts.Step, { rows: 1 });
    const start = performance.now();
    this.#native.host.run(this.#pool, addressOf(op), 1, addressOf(step));
    return (performance.now() - start) / 1000;
  }
}
