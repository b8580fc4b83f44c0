// Brings ternary scales from one grouping to another without changing a weight.
import { WrinkleFreeError } from "../../core/index.ts";

/** Trits with one scale for each `size` of them, in row-major order. */
export interface GroupedTrits {
  readonly trits: Int8Array;
  readonly scales: Float32Array;
  readonly size: number;
}

/**
 * The same weights with one scale for each `size` weights. Finer groups repeat the scale; coarser ones
 * need equal scales in all groups that hold a weight other than 0. Throws `unsupported` otherwise.
 */
export function regroup(weights: GroupedTrits, size: number, format: string): Float32Array {
  const { scales, trits } = weights;
  if (size === weights.size) return scales;
  const count = Math.ceil(trits.length / size);
  if (size < weights.size && weights.size % size === 0) {
    const repeat = weights.size / size;
    return Float32Array.from({ length: count }, (_, i) => scales[Math.floor(i / repeat)] as number);
  }
  if (size % weights.size !== 0) throw mismatch(weights.size, size, format);
  const merge = size / weights.size;
  const merged = new Float32Array(count);
  for (let group = 0; group < count; group++) {
    let common = 0;
    for (let i = group * merge; i < Math.min(scales.length, (group + 1) * merge); i++) {
      const scale = scales[i] as number;
      if (scale === common || scale === 0 || isZero(trits, i * weights.size, weights.size))
        continue;
      if (common !== 0) throw mismatch(weights.size, size, format);
      common = scale;
    }
    merged[group] = common !== 0 ? common : (scales[group * merge] as number);
  }
  return merged;
}

function isZero(trits: Int8Array, from: number, count: number): boolean {
  const end = Math.min(trits.length, from + count);
  for (let i = from; i < end; i++) if (trits[i] !== 0) return false;
  return true;
}

function mismatch(from: number, to: number, format: string): WrinkleFreeError {
  return new WrinkleFreeError(
    "unsupported",
    `${format} has one scale for ${to} weights, the source one for ${from}, and they differ`,
    {
      hint: "Choose a format with as fine scales: q2_0 (64), q2_0_g128, pq2_0 (128), tq2_0 (256).",
    },
  );
}

/** Ternary weights as float32. */
export function expand({ trits, scales, size }: GroupedTrits): Float32Array {
  const values = new Float32Array(trits.length);
  for (let group = 0; group < scales.length; group++) {
    const scale = scales[group] as number;
    for (let i = group * size; i < (group + 1) * size; i++) {
      const trit = trits[i] as number;
      if (trit !== 0) values[i] = trit * scale;
    }
  }
  return values;
}
