// exp and log in plain double arithmetic: the same bits on every machine, unlike the C library's.

/** ln 2 in two parts, the first with zero low bits, so that k * ln2High is exact. */
const ln2High = 0.6931471803691238;
const ln2Low = 1.9082149292705877e-10;

const powers = buildPowers();

/** 2^k for k in -1074..1023, at index k + 1074. */
function buildPowers(): Float64Array {
  const table = new Float64Array(2098);
  let value = 1;
  for (let k = 0; k <= 1023; k++, value *= 2) table[k + 1074] = value;
  value = 1;
  for (let k = 0; k >= -1074; k--, value /= 2) table[k + 1074] = value;
  return table;
}

/**
 * e^x within about 1 ulp. Range reduction to |r| <= ln(2)/2, then the Taylor polynomial of degree
 * 13 (remainder below 5e-18). exp(-Infinity) = 0, exp(NaN) = NaN.
 */
export function exp(x: number): number {
  if (!(x > -745.14)) return Number.isNaN(x) ? x : 0;
  if (x > 709.79) return Infinity;
  const k = Math.round(x * Math.LOG2E);
  const r = x - k * ln2High - k * ln2Low;
  let p = 1 / 6227020800;
  p = p * r + 1 / 479001600;
  p = p * r + 1 / 39916800;
  p = p * r + 1 / 3628800;
  p = p * r + 1 / 362880;
  p = p * r + 1 / 40320;
  p = p * r + 1 / 5040;
  p = p * r + 1 / 720;
  p = p * r + 1 / 120;
  p = p * r + 1 / 24;
  p = p * r + 1 / 6;
  p = p * r + 0.5;
  p = p * r * r + r + 1;
  // 2^1024 is no double: halve the exponent there.
  if (k > 1023) return p * powers[1023 + 1074]! * 2;
  // One rounding only: below the normal range, first to the normal range, then down.
  if (k < -1021) return p * powers[k + 52 + 1074]! * powers[-52 + 1074]!;
  return p * powers[k + 1074]!;
}

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);

/**
 * ln x within about 1 ulp: x = m 2^k with m in [sqrt(1/2), sqrt(2)), then
 * ln m = 2 atanh((m - 1) / (m + 1)) by its series up to s^21 (|s| <= 0.1716).
 * log(0) = -Infinity, log of a negative number = NaN.
 */
export function log(x: number): number {
  if (!(x > 0) || x === Infinity) return x === 0 ? -Infinity : x > 0 ? x : NaN;
  let k = 0;
  if (x < 2.2250738585072014e-308) {
    x *= 18014398509481984;
    k = -54;
  }
  double[0] = x;
  k += (words[1]! >>> 20) - 1023;
  words[1] = (words[1]! & 0xfffff) | 0x3ff00000;
  let m = double[0]!;
  if (m > Math.SQRT2) {
    m *= 0.5;
    k++;
  }
  const f = m - 1;
  const s = f / (2 + f);
  const z = s * s;
  let p = 1 / 21;
  for (let n = 19; n >= 3; n -= 2) p = p * z + 1 / n;
  const half = 0.5 * f * f;
  // ln(1 + f) = f - (f^2/2 - s (f^2/2 + 2 z p)): the leading terms exact, the rest small.
  return k * ln2High - (half - (s * (half + 2 * z * p) + k * ln2Low) - f);
}
