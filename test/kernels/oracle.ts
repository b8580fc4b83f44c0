// Plain scalar forms of the ops in the canonical order: what every library must give, bit for bit.

import { spanPositions } from "../../core/native/abi.ts";

const f = Math.fround;

const double = new Float64Array(1);
const words = new Int32Array(double.buffer);
const single = new Float32Array(1);
const singleBits = new Int32Array(single.buffer);

/**
 * a * b + c of float32 values, rounded once. The product is exact in float64; the sum is rounded to
 * odd there, which makes the second rounding right (Boldo and Melquiond).
 */
export function fma(a: number, b: number, c: number): number {
  const product = a * b;
  const sum = product + c;
  const back = sum - product;
  const lost = product - (sum - back) + (c - back);
  if (!(lost > 0 || lost < 0)) return f(sum);
  double[0] = sum;
  const low = words[0]!;
  if ((low & 1) === 0) {
    if (lost > 0 === sum > 0) words[0] = low | 1;
    else {
      words[0] = low - 1;
      if (low === 0) words[1] = words[1]! - 1;
    }
  }
  return f(double[0]);
}

const magic = 12582912;

export function exp(x: number): number {
  const low = f(-87.33654);
  const high = f(88.72283);
  if (Number.isNaN(x)) return x;
  if (x < low) return 0;
  if (x > high) return Number.POSITIVE_INFINITY;
  const shifted = fma(x, f(Math.LOG2E), magic);
  const whole = f(shifted - magic);
  let rest = fma(whole, f(-0.693145751953125), x);
  rest = fma(whole, f(-1.42860677e-6), rest);
  let p = f(1 / 5040);
  for (const factorial of [720, 120, 24, 6, 2, 1, 1]) p = fma(p, rest, f(1 / factorial));
  const first = whole >> 1;
  return f(f(p * 2 ** first) * 2 ** (whole - first));
}

export function silu(x: number): number {
  return f(x / f(1 + exp(-x)));
}

export function gelu(x: number): number {
  const u = f(x * fma(f(x * x), f(0.0356774081), f(0.7978845608)));
  return f(x / f(1 + exp(f(-2 * u))));
}

export function relu2(x: number): number {
  const positive = Math.max(x, 0);
  return f(positive * positive);
}

export function softcap(x: number, cap: number): number {
  const e = exp(f(f(x / cap) * 2));
  return f(cap * f(1 - f(2 / f(e + 1))));
}

/** Sum of 16 lanes: +8, +4, +2, +1. */
export function tree(lanes: readonly number[] | Float32Array): number {
  let row = [...lanes];
  for (let half = 8; half >= 1; half /= 2) {
    row = Array.from({ length: half }, (_, i) => f(row[i]! + row[i + half]!));
  }
  return row[0]!;
}

export function roundEven(x: number): number {
  return f(f(x + magic) - magic);
}

/** (x * 1 / sqrt(mean square + epsilon)) * weight. */
export function rmsNorm(x: Float32Array, weight: Float32Array | undefined, epsilon: number) {
  const lanes = new Float32Array(16);
  x.forEach((v, i) => {
    lanes[i % 16] = fma(v, v, lanes[i % 16]!);
  });
  const mean = f(tree(lanes) / x.length);
  const scale = f(1 / f(Math.sqrt(f(mean + f(epsilon)))));
  return x.map((v, i) => (weight ? f(f(v * scale) * weight[i]!) : f(v * scale)));
}

export function quantize(x: Float32Array): { q: Int8Array; inverse: number; sum: number } {
  const most = x.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
  const bound = Math.max(most, f(1e-5));
  const scale = f(127 / bound);
  const q = Int8Array.from(x, (v) => Math.max(-128, Math.min(127, roundEven(f(v * scale)))));
  return { q, inverse: f(bound / 127), sum: q.reduce((a, v) => a + v, 0) };
}

/** Rotates (a, b) by an angle whose cosine and sine are given. */
export function turn(a: number, b: number, cos: number, sin: number): [number, number] {
  return [fma(a, cos, -f(b * sin)), fma(b, cos, f(a * sin))];
}

/** Nearest float16 value, ties to even. */
export function half(x: number): number {
  const out = new Float16Array(1);
  out[0] = x;
  return out[0]!;
}

export function int8Page(x: Float32Array): Float32Array & { scale: number } {
  const most = x.reduce((a, v) => Math.max(a, Math.abs(v)), f(1e-30));
  const factor = f(127 / most);
  const q = x.map((v) => Math.max(-127, Math.min(127, roundEven(f(v * factor)))));
  return Object.assign(q, { scale: f(most / 127) });
}

interface Part {
  top: number;
  total: number;
  values: Float32Array;
}

function mergeParts(a: Part | undefined, b: Part): Part {
  if (a === undefined) return b;
  const top = Math.max(a.top, b.top);
  const keep = exp(f(a.top - top));
  const take = exp(f(b.top - top));
  return {
    top,
    total: fma(a.total, keep, f(b.total * take)),
    values: a.values.map((v, d) => fma(v, keep, f(b.values[d]! * take))),
  };
}

/** Keys or values of one position: plain, or integers with a scale. */
export type Stored = Float32Array & { scale?: number };

/** Attention of one query over keys and values of positions 0..n-1, in spans of 128. */
export function attend(q: Float32Array, keys: Stored[], values: Stored[], scale: number) {
  let result: Part | undefined;
  for (let at = 0; at < keys.length; at += spanPositions) {
    const end = Math.min(at + spanPositions, keys.length);
    result = mergeParts(result, spanPart(q, keys.slice(at, end), values.slice(at, end), scale));
  }
  const inverse = f(1 / result!.total);
  return result!.values.map((v) => f(v * inverse));
}

function spanPart(q: Float32Array, keys: Stored[], values: Stored[], scale: number): Part {
  const scores = keys.map((k) => {
    let dot = 0;
    for (let d = 0; d < q.length; d += 1) dot = fma(q[d]!, k[d]!, dot);
    return f((k.scale === undefined ? dot : f(dot * k.scale)) * f(scale));
  });
  const top = Math.max(...scores);
  const weights = scores.map((s) => exp(f(s - top)));
  const lanes = new Float32Array(16);
  weights.forEach((w, p) => {
    lanes[p % 16] = lanes[p % 16]! + w;
  });
  const sums = new Float32Array(q.length);
  values.forEach((v, p) => {
    const weight = v.scale === undefined ? weights[p]! : f(weights[p]! * v.scale);
    for (let d = 0; d < sums.length; d += 1) sums[d] = fma(weight, v[d]!, sums[d]!);
  });
  return { top, total: tree(lanes), values: sums };
}

/** The next float32 above: for building ties. */
export function nextUp(x: number): number {
  single[0] = x;
  singleBits[0] = singleBits[0]! + (x >= 0 ? 1 : -1);
  return single[0];
}
