// The runtime's native functions: memory, mapped files, the thread pool, running a tape.
import { CFunction, FFIType, linkSymbols, type Pointer } from "bun:ffi";
import { statSync } from "node:fs";
import { getSystemErrorMessage } from "node:util";
import { WrinkleFreeError } from "../errors.ts";
import { layouts } from "./abi.ts";
import type { NativeEntry, NativeLibrary } from "./library.ts";
import { addressOf, dataView, Region } from "./memory.ts";
import { readStruct, type StructValues, writeStruct } from "./struct.ts";

const signatures = {
  poolCreate: { args: ["u32", "u64"], returns: "ptr" },
  poolDestroy: { args: ["ptr"], returns: "void" },
  run: { args: ["ptr", "ptr", "u32", "ptr", "ptr"], returns: "void" },
  alloc: { args: ["u64"], returns: "ptr" },
  free: { args: ["ptr", "u64"], returns: "void" },
  map: { args: ["ptr", "u64"], returns: FFIType.i64_fast },
  unmap: { args: ["ptr", "u64"], returns: "void" },
  copy: { args: ["ptr", "ptr", "u64"], returns: "void" },
  pack: { args: ["ptr", "ptr"], returns: "u32" },
  ropeTable: { args: ["ptr", "u32", "u32", "f64", "f64", "ptr", "f32"], returns: "void" },
  lostBytes: { args: [], returns: FFIType.i64_fast },
  release: { args: ["ptr", "u64"], returns: "void" },
} as const;

function link(address: number) {
  const table = readStruct(dataView(address, layouts.Host.size), 0, layouts.Host);
  if (table.size < layouts.Host.size) {
    throw new WrinkleFreeError("plugin", `the runtime's table has ${table.size} bytes`);
  }
  const at = <K extends keyof typeof signatures>(name: K) => ({
    ...signatures[name],
    ptr: table[name] as Pointer,
  });
  const { symbols } = linkSymbols({
    poolCreate: at("poolCreate"),
    poolDestroy: at("poolDestroy"),
    run: at("run"),
    alloc: at("alloc"),
    free: at("free"),
    map: at("map"),
    unmap: at("unmap"),
    copy: at("copy"),
    pack: at("pack"),
    ropeTable: at("ropeTable"),
    lostBytes: at("lostBytes"),
    release: at("release"),
  });
  return { symbols, features: table.features };
}

/** A started pool of threads. Dispose of it when no tape will run on it any more. */
export class Pool extends Region {
  readonly threads: number;

  constructor(address: number, threads: number, release: (address: number) => void) {
    super(address, 0, release);
    this.threads = threads;
  }
}

const p = (address: number) => address as Pointer;

/** The runtime of one of the project's own libraries. */
export class Host {
  /** Bit set of CPU features; select.ts names them. */
  readonly features: number;
  readonly isa: string;
  readonly #native: ReturnType<typeof link>["symbols"];

  /** Throws `unsupported` for a library without a runtime (a third party's). */
  constructor(library: NativeLibrary) {
    if (library.host === 0) {
      throw new WrinkleFreeError("unsupported", `${library.path} has ops but no runtime`);
    }
    const { symbols, features } = link(library.host);
    this.#native = symbols;
    this.features = features;
    this.isa = library.isa;
  }

  /** Zeroed memory on huge pages where possible. Throws `out_of_memory`, naming `use`. */
  alloc(bytes: number, use = "buffers"): Region {
    if (!Number.isSafeInteger(bytes) || bytes <= 0) throw new RangeError(`alloc of ${bytes} bytes`);
    const address = this.#native.alloc(bytes);
    if (address === null) {
      throw new WrinkleFreeError(
        "out_of_memory",
        `no memory for ${use}: ${Math.ceil(bytes / (1 << 20))} MiB`,
        {
          hint: "Lower --kv-memory or --ctx-size, use a smaller model or --mmap, or free memory.",
        },
      );
    }
    return new Region(Number(address), bytes, (at, size) => this.#native.free(p(at), size));
  }

  /**
   * Maps a whole file read-only. Bytes that others cut off later read as zeros; see `lostBytes`.
   * Throws `not_found` or `bad_file` naming it.
   */
  mapFile(path: string): Region {
    const size = fileSize(path);
    const result = Number(this.#native.map(p(addressOf(Buffer.from(`${path}\0`))), size));
    if (result < 0) {
      const reason = getSystemErrorMessage(result);
      throw new WrinkleFreeError("bad_file", `cannot map ${path}: ${reason}`, { file: path });
    }
    return new Region(result, size, (at, bytes) => this.#native.unmap(p(at), bytes));
  }

  /** Bytes of mapped files, of this process, that were read after others had cut them off. */
  get lostBytes(): number {
    return Number(this.#native.lostBytes());
  }

  /**
   * Gives back the memory that a range of a mapped file takes in this process; it is read from the
   * page cache again when touched. Does nothing to other memory.
   */
  release(address: number, bytes: number): void {
    this.#native.release(p(address), bytes);
  }

  copy(to: number, from: number, bytes: number): void {
    this.#native.copy(p(to), p(from), bytes);
  }

  /** Starts a pool of 1..256 threads (the caller is one of them) with scratch for ops. */
  createPool(threads: number, scratchBytes = 1 << 20): Pool {
    if (!(Number.isInteger(threads) && threads >= 1 && threads <= 256)) {
      throw new WrinkleFreeError("usage", `threads must be 1..256, not ${threads}`, {
        flag: "--threads",
      });
    }
    const address = this.#native.poolCreate(threads, scratchBytes);
    if (address === null) {
      throw new WrinkleFreeError("out_of_memory", `cannot start ${threads} threads`, {
        hint: "use fewer threads: -t N",
      });
    }
    return new Pool(Number(address), threads, (at) => this.#native.poolDestroy(p(at)));
  }

  /**
   * Runs `count` ops at `opsAddress` with the Step at `stepAddress`. Adds each op's nanoseconds to
   * u64[count] at `timesAddress`, unless it is 0.
   */
  run(pool: Pool, opsAddress: number, count: number, stepAddress: number, timesAddress = 0): void {
    this.#native.run(p(pool.address), p(opsAddress), count, p(stepAddress), p(timesAddress));
  }

  /** Decodes and packs a matrix on all threads; see PackJob in abi.zig. Returns a PackError. */
  pack(pool: Pool, job: StructValues<typeof layouts.PackJob>): number {
    const bytes = new DataView(new ArrayBuffer(layouts.PackJob.size));
    writeStruct(bytes, 0, layouts.PackJob, job);
    return this.#native.pack(p(pool.address), p(addressOf(bytes)));
  }

  /** Bytes of the packed form of an [n][k] matrix in the entry's layout. */
  packedBytes(entry: NativeEntry, n: number, k: number): number {
    const sized = CFunction({
      args: ["u32", "u32"],
      returns: FFIType.u64_fast,
      ptr: entry.packedBytes as Pointer,
    });
    return Number(sized(n, k));
  }

  /**
   * Fills f32 [positions][dimensions / 2][2] at `out` with cos and sin of
   * position * scale * theta^(-2i / dimensions) / factors[i], each times `magnitude`.
   */
  ropeTable(
    out: number,
    options: {
      positions: number;
      dimensions: number;
      theta: number;
      scale?: number;
      factors?: Float32Array;
      magnitude?: number;
    },
  ): void {
    const { positions, dimensions, theta, scale = 1, factors, magnitude = 1 } = options;
    if (factors !== undefined && factors.length !== dimensions / 2) {
      throw new RangeError(`${factors.length} rope factors for ${dimensions} dimensions`);
    }
    const divisors = factors === undefined ? 0 : addressOf(factors);
    this.#native.ropeTable(p(out), positions, dimensions, theta, scale, p(divisors), magnitude);
  }
}

function fileSize(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) {
    throw new WrinkleFreeError("not_found", `no such file: ${path}`, { file: path });
  }
  if (!stat.isFile()) {
    throw new WrinkleFreeError("bad_file", `${path} is not a file`, { file: path });
  }
  if (stat.size === 0) throw new WrinkleFreeError("bad_file", `${path} is empty`, { file: path });
  return stat.size;
}
