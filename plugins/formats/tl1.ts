// tl1: bitnet.cpp's lookup-table layout for ARM; pairs of weights as nibbles, permuted in tiles.
import { type Quantizer, type Shape, WrinkleFreeError } from "../../core/index.ts";
import { columnsOf, elements, tensorScales, ternaryQuantizer } from "./ternary.ts";
import { chooseTiles, type Tiles, tilesOf } from "./tiles.ts";

/** Weights in an inner tile: rows x columns. */
const inner = 256;

/** bm: rows of a tile, bk: its columns, by: columns of an inner tile of 256 weights. */
function fits(rows: number, columns: number, { bm, bk, by }: Tiles): boolean {
  const innerRows = inner / by;
  return (
    by % 4 === 0 &&
    innerRows % 16 === 0 &&
    rows % bm === 0 &&
    columns % bk === 0 &&
    bm % innerRows === 0 &&
    bk % by === 0
  );
}

function tilesFor(shape: Shape, parameters?: Readonly<Record<string, number>>): Tiles {
  const columns = columnsOf(shape);
  const rows = elements(shape) / columns;
  const stated = tilesOf(parameters);
  const tiles =
    stated ??
    chooseTiles(
      rows,
      columns,
      [256, 128, 320, 160, 64, 32, 16],
      [256, 128, 64, 32, 16],
      [8, 4, 16],
      fits,
    );
  if (tiles && fits(rows, columns, tiles)) return tiles;
  throw new WrinkleFreeError(
    stated ? "bad_file" : "unsupported",
    `tl1: no tiles ${stated ? "as stated " : ""}fit shape [${shape}]`,
    { hint: "Rows must be a multiple of 16 and columns of 16; i2_s or hf-packed may hold it." },
  );
}

/**
 * A pair of weights and the next of its row share the byte at (a number of the row) + (a number of the
 * pair); the first is the high nibble.
 */
function rowOffset(row: number, columns: number, { bm, bk, by }: Tiles): number {
  const innerRows = inner / by;
  const perRowBlock = (bk / by) * (innerRows / 16) * (by / 4) * 16;
  const block = Math.floor(row / bm) * (columns / bk) * (bm / innerRows);
  const rb = Math.floor((row % bm) / innerRows);
  const rq = Math.floor((row % innerRows) / 16);
  return (block + rb) * perRowBlock + rq * (by / 4) * 16 + (row % 16);
}

/** The pairs' numbers; one for each two pairs. */
function pairOffsets(columns: number, { bm, bk, by }: Tiles): Int32Array {
  const innerRows = inner / by;
  return Int32Array.from({ length: columns / 4 }, (_, i) => {
    const pair = 2 * i;
    const kb = Math.floor(pair / (bk / 2));
    const pb = Math.floor((pair % (bk / 2)) / (by / 2));
    const pq = Math.floor((pair % (by / 2)) / 2);
    const strip = kb * (bm / innerRows) * (bk / by) + pb;
    return (strip * (innerRows / 16) * (by / 4) + pq) * 16;
  });
}

/** The two trits of each code 0..8; others are damage. */
const firstOf = Int8Array.from({ length: 16 }, (_, code) => Math.floor(code / 3) - 1);
const secondOf = Int8Array.from({ length: 16 }, (_, code) => (code % 3) - 1);

export const tl1: Quantizer = ternaryQuantizer({
  format: "tl1",
  ggufType: 38,
  separateScale: true,
  byteLength(shape, parameters) {
    tilesFor(shape, parameters);
    return elements(shape) / 4;
  },
  parameters: (shape) => ({ ...tilesFor(shape) }),
  scales: (data, shape) => tensorScales(1, data, shape),
  trits(data, shape) {
    const tiles = tilesFor(shape, data.parameters);
    const columns = columnsOf(shape);
    const trits = new Int8Array(elements(shape));
    const offsets = pairOffsets(columns, tiles);
    let largest = 0;
    for (let row = 0, at = 0; row < trits.length / columns; row++) {
      const start = rowOffset(row, columns, tiles);
      for (let i = 0; i < offsets.length; i++, at += 4) {
        const byte = data.bytes[start + (offsets[i] as number)] as number;
        const [high, low] = [byte >> 4, byte & 15];
        largest = Math.max(largest, high, low);
        trits[at] = firstOf[high] as number;
        trits[at + 1] = secondOf[high] as number;
        trits[at + 2] = firstOf[low] as number;
        trits[at + 3] = secondOf[low] as number;
      }
    }
    if (largest > 8) throw new WrinkleFreeError("bad_file", `tl1: code ${largest} is not 0..8`);
    return trits;
  },
  pack({ trits, scales }, shape) {
    const tiles = tilesFor(shape);
    const columns = columnsOf(shape);
    const bytes = new Uint8Array(trits.length / 4);
    const offsets = pairOffsets(columns, tiles);
    for (let row = 0, at = 0; row < trits.length / columns; row++) {
      const start = rowOffset(row, columns, tiles);
      for (let i = 0; i < offsets.length; i++, at += 4) {
        const first = 3 * (trits[at] as number) + (trits[at + 1] as number) + 4;
        const second = 3 * (trits[at + 2] as number) + (trits[at + 3] as number) + 4;
        bytes[start + (offsets[i] as number)] = (first << 4) | second;
      }
    }
    return { bytes, scale: scales.slice(), parameters: { ...tiles } };
  },
});
