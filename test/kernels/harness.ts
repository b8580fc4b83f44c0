// Runs single ops of every kernel library that this machine can run.
import { layouts } from "../../core/native/abi.ts";
import type { Pool } from "../../core/native/host.ts";
import { addressOf } from "../../core/native/memory.ts";
import { type Native, openKernels } from "../../core/native/select.ts";
import { writeStruct } from "../../core/native/struct.ts";
import plugin from "../../plugins/kernels-cpu/index.ts";

const kernels = plugin.kernels ?? [];
const order = ["generic", "avx2", "avx512", "neon"];

/** Every library that this machine runs, the generic one first. */
export const libraries: readonly Native[] = order
  .slice(0, order.indexOf(openKernels(kernels).isa) + 1)
  .filter((isa) => kernels.some((kernel) => kernel.name === `cpu-${isa}`))
  .map((isa) => openKernels(kernels, { isa }));

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
  readonly struct: keyof typeof layouts;
  readonly args: TestArguments;
}

/** Runs ops one after the other in one call. */
export function runOps(native: Native, ops: readonly TestOp[], step: TestStep, threads = 1): void {
  const bytes = new DataView(new ArrayBuffer(ops.length * layouts.Op.size));
  ops.forEach(({ op, struct, args }, i) => {
    const entry = native.find(op);
    if (entry === undefined) throw new Error(`${native.isa} has no op ${op}`);
    const at = i * layouts.Op.size;
    const { run, units, grain } = entry;
    writeStruct(bytes, at, layouts.Op, { run, units, grain, tag: i });
    const values: Record<string, number> = {};
    for (const [name, value] of Object.entries(args)) {
      values[name] = typeof value === "number" ? value : addressOf(value);
    }
    writeStruct(bytes, at + layouts.Op.fields.args.offset, layouts[struct], values);
  });
  const header = encodeStep(step);
  const pool = poolOf(native, threads);
  native.host.run(pool, addressOf(bytes), ops.length, addressOf(header.view));
  // The arrays that the header points at must live until here.
  if (header.arrays.length === 0) throw new Error("unreachable");
}

function encodeStep(step: TestStep): { view: DataView; arrays: ArrayBufferView[] } {
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
  const arrays = {
    tokens: new Uint32Array(step.tokens ?? rows.map(() => 0)),
    positions: new Uint32Array(rows.map((row) => row.position)),
    rowSequence: new Uint32Array(rows.map((row) => row.s)),
    sequenceRows: new Uint32Array(firsts),
    pages,
    logitIndex: new Uint32Array(step.logits?.length ? step.logits : [0]),
  };
  const view = new DataView(new ArrayBuffer(layouts.Step.size));
  writeStruct(view, 0, layouts.Step, {
    rows: rows.length,
    sequences: step.sequences.length,
    logitRows: step.logits?.length ?? 0,
    maxPages,
    ...Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, addressOf(array)])),
  });
  return { view, arrays: Object.values(arrays) };
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
