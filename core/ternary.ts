// Trits and scales of a ternary matrix: from float masters (absmean), or back from decoded values.
import { type ErrorDetails, WrinkleFreeError } from "./errors.ts";

/** A ternary matrix: effective weight = trit * scale. */
export interface Ternary {
  /** -1, 0, 1, row-major. */
  readonly trits: Int8Array;
  /** One scale a tensor, or one for each `group` elements (row-major order of groups). */
  readonly scales: Float32Array;
  /** Elements that share a scale; undefined = the whole tensor. */
  readonly group?: number;
}

/** Adding and subtracting this in float32 rounds |x| < 2^22 half to even. */
const roundBias = 12582912;
const minimumScale = 1e-5;

/**
 * BitNet b1.58 absmean quantization (arXiv 2402.17764): scale = max(mean|W|, 1e-5) in float32,
 * trit = clamp(round_half_even(W / scale), -1, 1). Stacked experts ([E, out, in]) are not accepted:
 * quantize each apart.
 */
export function ternarize(values: Float32Array, _shape: readonly number[]): Ternary {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.abs(values[i] as number);
  const scale = absmeanScale(sum, values.length);
  return { trits: rounded(values, scale), scales: new Float32Array([scale]) };
}

/**
 * `ternarize` of values that are stored in 16 bits each, without making floats of them: the same bits.
 * @param codes the stored values
 * @param values what each of the 65536 codes means
 */
export function ternarizeCodes(codes: Uint16Array, values: Float32Array): Ternary {
  let sum = 0;
  for (let i = 0; i < codes.length; i++) sum += Math.abs(values[codes[i] as number] as number);
  const scale = absmeanScale(sum, codes.length);
  const table = rounded(values, scale);
  const trits = new Int8Array(codes.length);
  for (let i = 0; i < codes.length; i++) trits[i] = table[codes[i] as number] as number;
  return { trits, scales: new Float32Array([scale]) };
}

function absmeanScale(sum: number, count: number): number {
  return Math.max(Math.fround(sum / count), Math.fround(minimumScale));
}

function rounded(values: Float32Array, scale: number): Int8Array {
  const inverse = Math.fround(1 / scale);
  const trits = new Int8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const scaled = Math.fround((values[i] as number) * inverse);
    const clamped = scaled > 1 ? 1 : Math.max(scaled, -1);
    trits[i] = Math.fround(clamped + roundBias) - roundBias;
  }
  return trits;
}

/**
 * Recovers trits from decoded values of a ternary format: the scale of a group is its largest
 * magnitude (or the stated one, which an all-zero group needs). Throws `bad_file` for a value that
 * is not -scale, 0 or scale.
 */
export function ternaryFromValues(
  values: Float32Array,
  shape: readonly number[],
  group: number | undefined,
  stated: Float32Array | undefined,
  where: ErrorDetails,
): Ternary {
  const columns = shape[shape.length - 1] ?? values.length;
  const size = group === undefined ? values.length : group === Infinity ? columns : group;
  const groups = Math.ceil(values.length / size);
  const trits = new Int8Array(values.length);
  const scales = new Float32Array(groups);
  for (let g = 0; g < groups; g++) {
    const end = Math.min(values.length, (g + 1) * size);
    let scale = 0;
    for (let i = g * size; i < end; i++) scale = Math.max(scale, Math.abs(values[i] as number));
    if (scale === 0) scale = (groups === 1 ? stated?.[0] : stated?.[g]) ?? 0;
    for (let i = g * size; i < end; i++) {
      const value = values[i] as number;
      if (value === 0) continue;
      if (value === scale) trits[i] = 1;
      else if (value === -scale) trits[i] = -1;
      else {
        throw new WrinkleFreeError(
          "bad_file",
          `${where.tensor}: value ${value} is not ternary`,
          where,
        );
      }
    }
    scales[g] = scale;
  }
  return { trits, scales, group: group === undefined ? undefined : size };
}
