// Random and extreme linear cases, from a seeded generator.
import { generator } from "../support/random.ts";
import type { LinearCase } from "./oracle.ts";

export type Weights = "random" | "plus" | "minus" | "zero";
export type Inputs = "random" | "low" | "high";

export function floats(count: number, random: () => number, size = 1): Float32Array {
  return Float32Array.from({ length: count }, () => (random() * 2 - 1) * size);
}

export function trits(count: number, kind: Weights, random: () => number): Int8Array {
  const fixed = { plus: 1, minus: -1, zero: 0 };
  if (kind !== "random") return new Int8Array(count).fill(fixed[kind]);
  return Int8Array.from({ length: count }, () => Math.floor(random() * 3) - 1);
}

export function bytes(count: number, kind: Inputs, random: () => number): Int8Array {
  if (kind !== "random") return new Int8Array(count).fill(kind === "low" ? -128 : 127);
  return Int8Array.from({ length: count }, () => Math.floor(random() * 256) - 128);
}

export interface Options {
  readonly weights?: Weights;
  readonly inputs?: Inputs;
  readonly group?: number;
  readonly qBlock?: number;
  readonly gate?: LinearCase["gate"];
  readonly extras?: boolean;
  readonly multiplier?: number;
}

/** A ternary case of the given shape. */
export function ternaryCase(
  n: number,
  k: number,
  rows: number,
  seed: number,
  o: Options = {},
): LinearCase {
  const random = generator(seed);
  const columns = (o.gate ?? "none") === "none" ? n : n / 2;
  const groups = o.group ? Math.ceil(k / o.group) : 1;
  const blocks = o.qBlock ? Math.ceil(k / o.qBlock) : 1;
  return {
    n,
    k,
    rows,
    weights: trits(n * k, o.weights ?? "random", random),
    x: bytes(rows * k, o.inputs ?? "random", random),
    inverse: floats(rows * blocks, random, 0.01),
    scale: floats(n * groups, random, 0.3),
    group: o.group,
    qBlock: o.qBlock,
    gate: o.gate,
    multiplier: o.multiplier,
    ...(o.extras && { bias: floats(n, random), add: floats(rows * columns, random) }),
  } as LinearCase;
}

/** A float case; weights are values that the element type holds exactly. */
export function floatCase(
  n: number,
  k: number,
  rows: number,
  seed: number,
  o: Options = {},
): LinearCase {
  const random = generator(seed);
  const columns = (o.gate ?? "none") === "none" ? n : n / 2;
  return {
    n,
    k,
    rows,
    weights: Float32Array.from(floats(n * k, random), (v) => Math.round(v * 128) / 512),
    x: floats(rows * k, random, 3),
    gate: o.gate,
    multiplier: o.multiplier,
    ...(o.extras && { bias: floats(n, random), add: floats(rows * columns, random) }),
  } as LinearCase;
}
