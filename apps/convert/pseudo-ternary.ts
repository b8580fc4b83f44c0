// Finds ternary weights that a file stores as floats: groups whose values are -s, 0 and s.
import type { GroupedTrits } from "./regroup.ts";

/** Group sizes along a row that known models have, besides whole rows, matrices and tensors. */
const groupSizes = [1024, 512, 256, 128, 64, 32];

/**
 * The trits of `values` with the coarsest grouping in which they are ternary; undefined for weights
 * that are not.
 */
export function pseudoTernary(
  values: Float32Array,
  shape: readonly number[],
): GroupedTrits | undefined {
  const columns = shape[shape.length - 1] ?? values.length;
  const matrix = columns * (shape[shape.length - 2] ?? 1);
  const sizes = [matrix, columns, ...groupSizes.filter((size) => columns % size === 0)];
  for (const size of sizes) {
    const found = withGroups(values, size);
    if (found) return found;
  }
  return undefined;
}

function withGroups(values: Float32Array, size: number): GroupedTrits | undefined {
  const trits = new Int8Array(values.length);
  const scales = new Float32Array(values.length / size);
  let weights = 0;
  for (let group = 0; group < scales.length; group++) {
    let scale = 0;
    for (let i = group * size; i < (group + 1) * size; i++) {
      const value = values[i] as number;
      if (value === 0) continue;
      const magnitude = value < 0 ? -value : value;
      if (scale === 0) scale = magnitude;
      else if (magnitude !== scale) return undefined;
      trits[i] = value > 0 ? 1 : -1;
      weights++;
    }
    scales[group] = scale;
  }
  return weights > 0 ? { trits, scales, size } : undefined;
}
