// Tile sizes of the tl1 and tl2 layouts, which a file of bitnet.cpp does not state.
import { WrinkleFreeError } from "../../core/index.ts";

/** bm: rows of a tile, bk: its columns, by: columns of an inner tile. */
export interface Tiles {
  readonly bm: number;
  readonly bk: number;
  readonly by: number;
}

/** The tiles that `parameters` state; undefined without any. Throws `bad_file` for half of them. */
export function tilesOf(parameters?: Readonly<Record<string, number>>): Tiles | undefined {
  if (!parameters) return undefined;
  const { bm, bk, by } = parameters;
  for (const [name, value] of Object.entries({ bm, bk, by })) {
    if (value === undefined || !Number.isInteger(value) || value <= 0) {
      throw new WrinkleFreeError("bad_file", `tile size ${name} is ${value}`, { field: name });
    }
  }
  return { bm: bm as number, bk: bk as number, by: by as number };
}

/** The first fitting combination, in the order of the candidates. */
export function chooseTiles(
  rows: number,
  columns: number,
  bms: readonly number[],
  bks: readonly number[],
  bys: readonly number[],
  fits: (rows: number, columns: number, tiles: Tiles) => boolean,
): Tiles | undefined {
  for (const bm of bms) {
    for (const bk of bks) {
      for (const by of bys) {
        const tiles = { bm, bk, by };
        if (fits(rows, columns, tiles)) return tiles;
      }
    }
  }
  return undefined;
}
