// A linear layer in plain scalar TypeScript: the order of operations that every kernel must repeat.
import { fma, gelu, relu2, silu, tree } from "../kernels/oracle.ts";

export interface LinearCase {
  readonly n: number;
  readonly k: number;
  readonly rows: number;
  /** [n][k]: trits, or float32 values. */
  readonly weights: Int8Array | Float32Array;
  /** [rows][k] quantized activations with one inverse a row (or a block), or float32 ones. */
  readonly x: Int8Array | Float32Array;
  readonly inverse?: Float32Array;
  /** [n] or [n][k / group]. */
  readonly scale?: Float32Array;
  readonly group?: number;
  readonly qBlock?: number;
  readonly bias?: Float32Array;
  /** [rows][columns of the output]. */
  readonly add?: Float32Array;
  readonly multiplier?: number;
  readonly gate?: "none" | "relu2" | "silu" | "gelu";
}

const f = Math.fround;

const activations = { none: (x: number) => x, relu2, silu, gelu };

/** Outputs [rows][n], or [rows][n / 2] with a gate (alternating blocks of 16 rows of W). */
export function linear(c: LinearCase): Float32Array {
  const gated = (c.gate ?? "none") !== "none";
  const columns = gated ? c.n / 2 : c.n;
  const out = new Float32Array(c.rows * columns);
  for (let r = 0; r < c.rows; r++) {
    for (let j = 0; j < columns; j++) {
      let value: number;
      if (gated) {
        const row = Math.floor(j / 16) * 32 + (j % 16);
        value = f(activations[c.gate ?? "none"](element(c, r, row)) * element(c, r, row + 16));
      } else value = element(c, r, j);
      if (c.add) value = f(value + c.add[r * columns + j]!);
      out[r * columns + j] = value;
    }
  }
  return out;
}

function element(c: LinearCase, r: number, j: number): number {
  let t = c.weights instanceof Int8Array ? ternary(c, r, j) : float(c, r, j);
  if (c.multiplier !== undefined && c.multiplier !== 1) t = f(t * f(c.multiplier));
  return c.bias ? f(t + c.bias[j]!) : t;
}

function ternary(c: LinearCase, r: number, j: number): number {
  const scale = c.scale!;
  const inverse = c.inverse!;
  if (!c.group) return f(f(exact(c, r, j, 0, c.k)) * f(scale[j]! * inverse[r]!));
  const segment = c.qBlock ? Math.min(c.group, c.qBlock) : c.group;
  const [groups, blocks] = [Math.ceil(c.k / c.group), c.qBlock ? Math.ceil(c.k / c.qBlock) : 0];
  let sum = 0;
  for (let at = 0; at < c.k; at += segment) {
    let factor = scale[j * groups + Math.floor(at / c.group)]!;
    if (c.qBlock) factor = f(factor * inverse[r * blocks + Math.floor(at / c.qBlock)]!);
    sum = fma(f(exact(c, r, j, at, at + segment)), factor, sum);
  }
  return c.qBlock ? sum : f(sum * inverse[r]!);
}

function exact(c: LinearCase, r: number, j: number, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < Math.min(to, c.k); i++) sum += c.weights[j * c.k + i]! * c.x[r * c.k + i]!;
  return sum;
}

function float(c: LinearCase, r: number, j: number): number {
  const lanes = new Float32Array(16);
  for (let i = 0; i < c.k; i++) {
    lanes[i % 16] = fma(c.weights[j * c.k + i]!, c.x[r * c.k + i]!, lanes[i % 16]!);
  }
  const sum = tree(lanes);
  return c.scale ? f(sum * c.scale[j]!) : sum;
}
