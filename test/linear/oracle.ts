// A linear layer in plain scalar TypeScript: the order of operations that every kernel must repeat.

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

/** a * b + c rounded once to float32: the float64 sum is rounded to odd before. */
export function fma(a: number, b: number, c: number): number {
  const product = a * b;
  const sum = product + c;
  const back = sum - product;
  const lost = product - (sum - back) + (c - back);
  if (lost === 0 || !Number.isFinite(sum)) return f(sum);
  bits.setFloat64(0, sum);
  const word = bits.getBigUint64(0);
  if ((word & 1n) === 0n) bits.setBigUint64(0, lost > 0 === sum > 0 ? word + 1n : word - 1n);
  return f(bits.getFloat64(0));
}
const bits = new DataView(new ArrayBuffer(8));

/** The sum over 16 lanes in the fixed tree. */
export function tree(lanes: Float32Array): number {
  const sums = Float32Array.from(lanes);
  for (let half = 8; half >= 1; half /= 2) {
    for (let i = 0; i < half; i++) sums[i] = sums[i]! + sums[i + half]!;
  }
  return sums[0]!;
}

/** e^x as kernels-zig/math.zig computes it. */
export function exp(x: number): number {
  const [low, high] = [f(-87.33654), f(88.72283)];
  if (Number.isNaN(x)) return x;
  if (x > high) return Number.POSITIVE_INFINITY;
  if (x < low) return 0;
  const magic = 12582912;
  const whole = f(fma(x, f(Math.LOG2E), magic) - magic);
  let rest = fma(whole, f(-0.693145751953125), x);
  rest = fma(whole, f(-1.42860677e-6), rest);
  let p = f(1 / 5040);
  for (const factorial of [720, 120, 24, 6, 2, 1, 1]) p = fma(p, rest, f(1 / factorial));
  const first = Math.floor(whole / 2);
  return f(f(p * 2 ** first) * 2 ** (whole - first));
}

function activate(gate: LinearCase["gate"], x: number): number {
  if (gate === "relu2") return x > 0 ? f(x * x) : 0;
  if (gate === "silu") return f(x / f(1 + exp(-x)));
  if (gate === "gelu") {
    const u = f(x * fma(f(x * x), f(0.0356774081), f(0.7978845608)));
    return f(x / f(1 + exp(f(-2 * u))));
  }
  return x;
}

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
        value = f(activate(c.gate, element(c, r, row)) * element(c, r, row + 16));
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
