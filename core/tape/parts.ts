// Geometry of packed matrices: where a linear's rows and scales go when several share one matrix.

/** Rows of W that every layout interleaves (abi.block_rows). */
export const blockRows = 16;

/** How parts share the rows of the packed matrix: one after another, or in alternating blocks of 16. */
export type Arrangement = "stack" | "alternate";

export interface Part {
  readonly name: string;
  /** Expert, of stacked ones; 0 else. */
  readonly index: number;
  readonly rows: number;
  readonly firstBlock: number;
  readonly blockStep: number;
}

/** Scales of one ternary matrix: one a row, or `group` elements each. */
export interface RowScales {
  readonly scales: Float32Array;
  readonly group: number;
}

export function paddedRows(rows: number): number {
  return Math.ceil(rows / blockRows) * blockRows;
}

export function packedRow(part: Part, row: number): number {
  const block = part.firstBlock + Math.floor(row / blockRows) * part.blockStep;
  return block * blockRows + (row % blockRows);
}

/**
 * One scale a row wherever a row's groups agree, so that all formats of the same weights run the same
 * arithmetic; groups of zeros, whose stored scale says nothing, agree with any.
 */
export function rowScales(
  scales: Float32Array,
  rows: number,
  k: number,
  group: number | undefined,
): RowScales {
  if (group === undefined) return { scales: new Float32Array(rows).fill(scales[0] ?? 0), group: 0 };
  if (group === Infinity || group === k) return { scales, group: 0 };
  const perRow = Math.ceil(k / group);
  const merged = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let own = 0;
    for (let g = 0; g < perRow; g++) {
      const value = scales[row * perRow + g] as number;
      if (value === 0 || value === own) continue;
      if (own !== 0) return { scales, group };
      own = value;
    }
    merged[row] = own;
  }
  return { scales: merged, group: 0 };
}
