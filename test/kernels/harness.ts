// Runs single ops of every kernel library that this machine can run.
import { layouts } from "../../core/native/abi.ts";
import type { Pool } from "../../core/native/host.ts";
import type { NativeEntry } from "../../core/native/library.ts";
import { addressOf } from "../../core/native/memory.ts";
import { type Native, openKernels } from "../../core/native/select.ts";
import { writeStruct } from "../../core/native/struct.ts";
import plugin from "../../plugins/kernels-cpu/index.ts";
import { emulated } from "./replay.ts";

const kernels = plugin.kernels ?? [];
const order = ["generic", "avx2", "avx512", "neon"];

/** Something that runs ops: a library in this process, or an emulator of another CPU. */
export interface TestLibrary {
  readonly isa: string;
  run(ops: readonly TestOp[], step: EncodedStep, threads: number): void;
}

/** Every library that this machine runs, the generic one first. */
export const natives: readonly Native[] = order
  .slice(0, order.indexOf(openKernels(kernels).isa) + 1)
  .filter((isa) => kernels.some((kernel) => kernel.name === `cpu-${isa}`))
  .map((isa) => openKernels(kernels, { isa }));

/** The same, and where an emulator is installed the NEON library. */
export const libraries: readonly TestLibrary[] = [
  ...natives.map((native) => ({
    isa: native.isa,
    run: (ops: readonly TestOp[], step: EncodedStep, threads: number) =>
      runNative(native, ops, step, threads),
  })),
  // The generic aarch64 library differs in integer products only.
  ...emulated.slice(0, 1),
];

const pools = new Map<string, Pool>();

export function poolOf(native: Native, threads: number): Pool {
  const key = `${native.isa} ${threads}`;
  const pool = pools.get(key) ?? native.host.createPool(threads);
  pools.set(key, pool);
  return pool;
}

/** One sequence of a step: `rows` tokens that begin at `position`, its pages in order. */
export interface TestSequence {
  readonly rows: number;
  readonly position: number;
  readonly pages?: readonly number[];
}

export interface TestStep {
  readonly sequences: readonly TestSequence[];
  readonly tokens?: readonly number[];
  /** Rows whose logits are wanted. */
  readonly logits?: readonly number[];
}

/** An argument: a number, or an array whose address is passed. */
export type TestArguments = Record<string, number | ArrayBufferView>;

export interface TestOp {
  readonly op: string;
  readonly format?: string;
  /** Storage format that a PackJob (struct "PackJob", op "linear") decodes; left out: values. */
  readonly unpack?: string;
  readonly struct: keyof typeof layouts;
  readonly args: TestArguments;
}

/** Runs ops one after the other; packing comes first. */
export function runOps(
  library: TestLibrary,
  ops: readonly TestOp[],
  step: TestStep,
  threads = 1,
): void {
  library.run(ops, encodeStep(step), threads);
}

function runNative(
  native: Native,
  ops: readonly TestOp[],
  step: EncodedStep,
  threads: number,
): void {
  const pool = poolOf(native, threads);
  const header = new DataView(new ArrayBuffer(layouts.Step.size));
  writeStruct(header, 0, layouts.Step, addressed(step));
  const tape = ops.filter((op) => op.struct !== "PackJob");
  for (const job of ops) if (job.struct === "PackJob") pack(native, pool, job);
  if (tape.length === 0) return;
  const bytes = new DataView(new ArrayBuffer(tape.length * layouts.Op.size));
  tape.forEach(({ op, format, struct, args }, i) => {
    const at = i * layouts.Op.size;
    const { run, units, grain } = entryOf(native, op, format);
    writeStruct(bytes, at, layouts.Op, { run, units, grain, tag: i });
    writeStruct(bytes, at + layouts.Op.fields.args.offset, layouts[struct], addressed(args));
  });
  native.host.run(pool, addressOf(bytes), tape.length, addressOf(header));
}

function pack(native: Native, pool: Pool, { op, format, unpack, args }: TestOp): void {
  const decoder = unpack === undefined ? 0 : entryOf(native, "unpack", unpack).unpack;
  const job = { ...addressed(args), pack: entryOf(native, op, format).pack, unpack: decoder };
  if (native.host.pack(pool, job) !== 0) throw new Error(`${op} ${format}: pack failed`);
}

function entryOf(native: Native, op: string, format?: string): NativeEntry {
  const entry = native.find(op, format);
  if (entry === undefined) throw new Error(`${native.isa} has no op ${op} ${format ?? ""}`);
  return entry;
}

function addressed(args: TestArguments): Record<string, number> {
  const values: Record<string, number> = {};
  for (const [name, value] of Object.entries(args)) {
    values[name] = typeof value === "number" ? value : addressOf(value);
  }
  return values;
}

/** The fields of a Step, arrays in place of addresses. */
export type EncodedStep = TestArguments;

function encodeStep(step: TestStep): EncodedStep {
  const rows = step.sequences.flatMap((sequence, s) =>
    Array.from({ length: sequence.rows }, (_, i) => ({ s, position: sequence.position + i })),
  );
  const maxPages = Math.max(1, ...step.sequences.map((sequence) => sequence.pages?.length ?? 0));
  const pages = new Uint32Array(step.sequences.length * maxPages);
  const firsts = [0];
  step.sequences.forEach((sequence, s) => {
    pages.set(sequence.pages ?? [], s * maxPages);
    firsts.push((firsts[s] ?? 0) + sequence.rows);
  });
  return {
    rows: rows.length,
    sequences: step.sequences.length,
    logitRows: step.logits?.length ?? 0,
    maxPages,
    tokens: new Uint32Array(step.tokens ?? rows.map(() => 0)),
    positions: new Uint32Array(rows.map((row) => row.position)),
    rowSequence: new Uint32Array(rows.map((row) => row.s)),
    sequenceRows: new Uint32Array(firsts),
    pages,
    logitIndex: new Uint32Array(step.logits?.length ? step.logits : [0]),
  };
}

/** Rows of one sequence, for ops that know no sequences. */
export function plainRows(rows: number): TestStep {
  return { sequences: [{ rows, position: 0 }] };
}

/** A seeded generator of uniform 32-bit integers (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  below(limit: number): number {
    return this.u32() % limit;
  }

  /** Float32 values of roughly normal distribution, with a few large ones. */
  floats(length: number, scale = 1): Float32Array {
    return Float32Array.from({ length }, () => {
      const sum = this.u32() + this.u32() + this.u32() + this.u32();
      const outlier = this.below(64) === 0 ? 8 : 1;
      return (sum / 2 ** 32 - 2) * 1.7 * scale * outlier;
    });
  }
}

/** The bits of floats, so that a comparison is exact and tells 0 from -0. */
export function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}
