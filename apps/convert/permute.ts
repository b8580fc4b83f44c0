// Reorders q and k rows between RoPE's two pairings: halves (i, i + d/2) and neighbours (2i, 2i + 1).

/** A block of `rows` x `columns` values in which each head's rows are to be reordered. */
export interface HeadRows {
  readonly rows: number;
  readonly columns: number;
  readonly headDim: number;
}

/**
 * Rows of each head so that pairs of halves become neighbours (what GGUF's llama wants of a
 * checkpoint), or back. `values` may be trits, floats or anything else that is row-major.
 */
export function permuteHeads<T extends Int8Array | Float32Array>(
  values: T,
  { rows, columns, headDim }: HeadRows,
  to: "interleaved" | "half",
): T {
  const result = values.slice() as T;
  const half = headDim / 2;
  for (let row = 0; row < rows; row++) {
    const inHead = row % headDim;
    const head = row - inHead;
    const pair = inHead % half;
    const neighbour = head + 2 * pair + (inHead < half ? 0 : 1);
    const [from, into] = to === "interleaved" ? [row, neighbour] : [neighbour, row];
    result.set(values.subarray(from * columns, (from + 1) * columns), into * columns);
  }
  return result;
}
