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

/** Byte of a pair of weights and the next pair of its row: the first in the high nibble. */
function byteOfPair(row: number, pair: number, columns: number, { bm, bk, by }: Tiles): number {
  const innerRows = inner / by;
  const mb = Math.floor(row / bm);
  const rb = Math.floor((row % bm) / innerRows);
  const rq = Math.floor((row % innerRows) / 16);
  const kb = Math.floor(pair / (bk / 2));
  const pb = Math.floor((pair % (bk / 2)) / (by / 2));
  const pq = Math.floor((pair % (by / 2)) / 2);
  const tile = mb * (columns / bk) + kb;
  const strip = (tile * (bm / innerRows) + rb) * (bk / by) + pb;
  return ((strip * (innerRows / 16) + rq) * (by / 4) + pq) * 16 + (row % 16);
}

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
    const rows = trits.length / columns;
    for (let row = 0; row < rows; row++) {
      for (let pair = 0; pair < columns / 2; pair += 2) {
        const byte = data.bytes[byteOfPair(row, pair, columns, tiles)] as number;
        const at = row * columns + 2 * pair;
        for (let half = 0; half < 2; half++) {
          const code = half === 0 ? byte >> 4 : byte & 15;
          if (code > 8) throw new WrinkleFreeError("bad_file", `tl1: code ${code} is not 0..8`);
          trits[at + 2 * half] = Math.floor(code / 3) - 1;
          trits[at + 2 * half + 1] = (code % 3) - 1;
        }
      }
    }
    return trits;
  },
  pack({ trits, scales }, shape) {
    const tiles = tilesFor(shape);
    const columns = columnsOf(shape);
    const bytes = new Uint8Array(trits.length / 4);
    const rows = trits.length / columns;
    for (let row = 0; row < rows; row++) {
      for (let pair = 0; pair < columns / 2; pair += 2) {
        const at = row * columns + 2 * pair;
        const first = 3 * (trits[at] as number) + (trits[at + 1] as number) + 4;
        const second = 3 * (trits[at + 2] as number) + (trits[at + 3] as number) + 4;
        bytes[byteOfPair(row, pair, columns, tiles)] = (first << 4) | second;
      }
    }
    return { bytes, scale: scales.slice(), parameters: { ...tiles } };
  },
});
