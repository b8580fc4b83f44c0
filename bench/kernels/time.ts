// Times linear layouts alone, beside the machine's read bandwidth and int8 peak (see usage below).
import { parseArgs } from "node:util";
import { layouts } from "../../core/native/abi.ts";
import type { Pool } from "../../core/native/host.ts";
import { addressOf, i8View } from "../../core/native/memory.ts";
import { type Native, openKernels } from "../../core/native/select.ts";
import { writeStruct } from "../../core/native/struct.ts";
import plugin from "../../plugins/kernels-cpu/index.ts";

const { values: flags } = parseArgs({
  options: {
    isa: { type: "string" },
    threads: { type: "string", default: "1" },
    layout: { type: "string", default: "t2,t5" },
    op: { type: "string", default: "linear" },
    rows: { type: "string", default: "1,4,8,16,128,512" },
    shape: { type: "string", default: "2560x2560" },
    megabytes: { type: "string", default: "128" },
    rounds: { type: "string", default: "7" },
    help: { type: "boolean", short: "h" },
  },
});

if (flags.help) {
  console.log(`bun bench/kernels/time.ts [--isa avx2] [--threads 2] [--layout t2,t5] [--op linear_hybrid] [--rows 1,128]
    [--shape 2560x6912] (rows of W x columns) [--megabytes 128] of weights for few rows [--rounds 7]
Best of the rounds; the probes run between the rounds.`);
  process.exit(0);
}

/** A tape of ops, with its buffers kept alive. */
interface Tape {
  readonly ops: DataView;
  readonly step: DataView;
  readonly count: number;
  readonly keep: readonly unknown[];
}

function tape(count: number, rows: number, keep: unknown[]): Tape {
  const ops = new DataView(new ArrayBuffer(layouts.Op.size * count));
  const step = new DataView(new ArrayBuffer(layouts.Step.size));
  writeStruct(step, 0, layouts.Step, { rows, sequences: 1 });
  return { ops, step, count, keep };
}

/** Nanoseconds of one run: of processor time with one thread, where other programs count less. */
function time(native: Native, pool: Pool, t: Tape): number {
  const used = process.cpuUsage();
  const before = Bun.nanoseconds();
  native.host.run(pool, addressOf(t.ops), t.count, addressOf(t.step));
  const wall = Bun.nanoseconds() - before;
  const { user, system } = process.cpuUsage(used);
  return pool.threads === 1 ? Math.min(wall, (user + system) * 1000) : wall;
}

/** Best of the rounds: other programs' load only ever slows a kernel down. */
const least = (values: readonly number[]) => Math.min(...values);
const most = (values: readonly number[]) => Math.max(...values);

function probe(native: Native, format: string, memory: number, bytes: number, steps: number): Tape {
  const entry = native.find("probe", format);
  if (!entry) throw new Error(`no probe ${format}`);
  const result = new BigUint64Array(256);
  const t = tape(1, 1, [result]);
  writeStruct(t.ops, 0, layouts.Op, { run: entry.run, units: entry.units, grain: 1 });
  const args = { memory, bytes, steps, result: addressOf(result) };
  writeStruct(t.ops, layouts.Op.fields.args.offset, layouts.Probe, args);
  return t;
}

const native = openKernels(plugin.kernels ?? [], flags.isa ? { isa: flags.isa } : {});
using pool = native.host.createPool(Number(flags.threads));
const rounds = Number(flags.rounds);
const [n = 0, k = 0] = flags.shape.split("x").map(Number);
const weightBytes = Number(flags.megabytes) * 2 ** 20;
using memory = native.host.alloc(Math.max(weightBytes, n * k * 4));

const int8Steps = 20000;
const perStep = (() => {
  const t = probe(native, "int8", memory.address, 0, 0);
  native.host.run(pool, addressOf(t.ops), 1, addressOf(t.step));
  return Number((t.keep[0] as BigUint64Array)[0]);
})();
const reads = probe(native, "read", memory.address, weightBytes, 0);
const dots = probe(native, "int8", memory.address, 0, int8Steps);

/** GB/s and GMAC/s of the probes now. */
function machine(): { read: number; int8: number } {
  return {
    read: weightBytes / time(native, pool, reads),
    int8: (64 * int8Steps * perStep) / time(native, pool, dots),
  };
}

console.log(`${native.isa}, ${pool.threads} threads, W [${n}, ${k}]`);
console.log("layout  rows      us/op     GB/s  of read    GMAC/s  of int8");
for (const layout of flags.layout.split(",")) {
  const entry = native.find(flags.op, layout);
  if (!entry) throw new Error(`no ${flags.op} ${layout}`);
  const bytes = native.host.packedBytes(entry, n, k);
  const copies = Math.max(1, Math.floor(weightBytes / bytes));
  const trits = Int8Array.from({ length: n * k }, () => Math.floor(Math.random() * 3) - 1);
  const source = layout.startsWith("t") ? trits : Float32Array.from(trits);
  for (let c = 0; c < copies; c++) {
    if (c > 0) native.host.copy(memory.address + c * bytes, memory.address, bytes);
    else {
      native.host.pack(pool, {
        source: addressOf(source),
        sourceBytes: source.byteLength,
        pack: entry.pack,
        out: memory.address,
        n,
        k,
        blockStep: 1,
        float: layout.startsWith("t") ? 0 : 1,
        totalRows: n,
      });
    }
  }
  for (const rows of flags.rows.split(",").map(Number)) {
    const stride = Math.ceil(k / 64) * 64;
    using x = native.host.alloc(stride * rows * 4);
    using out = native.host.alloc(n * rows * 4);
    if (entry.input !== 0) {
      i8View(x.address, stride * rows).set(
        Int8Array.from({ length: stride * rows }, () => Math.floor(Math.random() * 256) - 128),
      );
    }
    const scales = new Float32Array(rows * 2).fill(0.01);
    const scale = new Float32Array(n).fill(0.5);
    const used = Math.max(1, Math.min(copies, Math.ceil(400 / rows)));
    const t = tape(used, rows, [scales, scale]);
    for (let i = 0; i < used; i++) {
      const at = i * layouts.Op.size;
      writeStruct(t.ops, at, layouts.Op, { run: entry.run, units: entry.units, grain: 1, tag: i });
      writeStruct(t.ops, at + layouts.Op.fields.args.offset, layouts.Linear, {
        x: x.address,
        xScale: addressOf(scales),
        weight: memory.address + i * bytes,
        scale: entry.input === 0 ? 0 : addressOf(scale),
        out: out.address,
        xStride: stride,
        outStride: n,
        n,
        k,
        multiplier: 1,
      });
    }
    time(native, pool, t);
    const found = Array.from({ length: rounds }, () => ({
      ns: time(native, pool, t),
      ...machine(),
    }));
    const ns = least(found.map((f) => f.ns));
    const read = most(found.map((f) => f.read));
    const int8 = most(found.map((f) => f.int8));
    const gbps = (bytes * used) / ns;
    const macs = (n * k * rows * used) / ns;
    const columns = [
      layout.padEnd(6),
      String(rows).padStart(5),
      (ns / used / 1000).toFixed(1).padStart(10),
      gbps.toFixed(1).padStart(8),
      `${Math.round((100 * gbps) / read)} %`.padStart(8),
      macs.toFixed(0).padStart(9),
      `${Math.round((100 * macs) / int8)} %`.padStart(8),
    ];
    console.log(
      `${columns.join(" ")}   (read ${read.toFixed(1)} GB/s, int8 ${int8.toFixed(0)} GMAC/s)`,
    );
  }
}
