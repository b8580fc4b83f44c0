// tl2: bitnet.cpp's lookup-table layout for x86; triples of weights as nibbles and signs, in tiles.
import { type Quantizer, type Shape, WrinkleFreeError } from "../../core/index.ts";
import { columnsOf, elements, tensorScales, ternaryQuantizer } from "./ternary.ts";
import { chooseTiles, type Tiles, tilesOf } from "./tiles.ts";

/** Columns of an inner tile of 32 rows; the layout is defined for these only. */
const innerColumns = 6;
/** Columns of a tile of the pairs that are left after whole tiles of triples. */
const pairTile = 32;
const rowGroups = [0, 2, 1, 3];

function fits(rows: number, columns: number, { bm, bk, by }: Tiles): boolean {
  if (by !== innerColumns || bm % 32 !== 0 || bk % (4 * by) !== 0 || rows % bm !== 0) return false;
  return (columns % bk) % pairTile === 0;
}

interface Layout {
  readonly tiles: Tiles;
  readonly rows: number;
  readonly columns: number;
  /** Columns stored as triples, and those stored as pairs. */
  readonly triples: number;
  readonly pairs: number;
  /** Offsets of the sign section and of the pair section, and the bytes in use. */
  readonly signsAt: number;
  readonly pairsAt: number;
  readonly used: number;
}

function layoutOf(shape: Shape, parameters?: Readonly<Record<string, number>>): Layout {
  const columns = columnsOf(shape);
  const rows = elements(shape) / columns;
  const stated = tilesOf(parameters);
  const tiles =
    stated ?? chooseTiles(rows, columns, [256, 128, 96, 64, 32], [96, 192, 48, 24], [6], fits);
  if (!tiles || !fits(rows, columns, tiles)) {
    throw new WrinkleFreeError(
      stated ? "bad_file" : "unsupported",
      `tl2: no tiles ${stated ? "as stated " : ""}fit shape [${shape}]`,
      { hint: "Rows and columns must be multiples of 32; i2_s or hf-packed may hold it." },
    );
  }
  const pairs = columns % tiles.bk;
  const triples = columns - pairs;
  const signsAt = (rows * triples) / 6;
  const pairsAt = signsAt + (rows * triples) / 24;
  return {
    tiles,
    rows,
    columns,
    triples,
    pairs,
    signsAt,
    pairsAt,
    used: pairsAt + (rows * pairs) / 4,
  };
}

/** Place of a row in the 32 bytes of an inner tile. */
function lane(row: number): number {
  const inner = row % 32;
  return (rowGroups[inner >> 3] as number) * 8 + (inner & 7);
}

/** Byte of triple `t` of a row; the first of two triples is the high nibble. */
function tripleByte({ tiles, triples }: Layout, row: number, t: number): number {
  const { bm, bk, by } = tiles;
  const kb = Math.floor(t / (bk / 3));
  const pb = Math.floor((t % (bk / 3)) / (by / 3));
  const tile = Math.floor(row / bm) * (triples / bk) + kb;
  return ((tile * (bm / 32) + Math.floor((row % bm) / 32)) * (bk / by) + pb) * 32 + lane(row);
}

/** Index of the 16-bit word, and the bit in it, of the sign of triple `t` of a row. */
function signPlace({ tiles, triples }: Layout, row: number, t: number): [number, number] {
  const { bm, bk, by } = tiles;
  const kb = Math.floor(t / (bk / 3));
  const q = t % (bk / 3);
  const tile = Math.floor(row / bm) * (triples / bk) + kb;
  const strip = (tile * (bm / 32) + Math.floor((row % bm) / 32)) * (bk / (4 * by)) + (q >> 3);
  return [strip * 16 + (row % 16), 15 - (2 * (q & 7) + (row % 32 >= 16 ? 1 : 0))];
}

/** Byte of pair `p` of a row, from the start of the pair section. */
function pairByte({ tiles, pairs }: Layout, row: number, p: number): number {
  const { bm } = tiles;
  const tile = Math.floor(row / bm) * (pairs / pairTile) + (p >> 4);
  const pb = (p & 15) >> 1;
  return ((tile * (bm / 32) + Math.floor((row % bm) / 32)) * 8 + pb) * 32 + lane(row);
}

function unpackRow(bytes: Uint8Array, layout: Layout, row: number, trits: Int8Array): void {
  const start = row * layout.columns;
  for (let t = 0; t < layout.triples / 3; t++) {
    const byte = bytes[tripleByte(layout, row, t)] as number;
    const magnitude = t % 2 === 0 ? byte >> 4 : byte & 15;
    if (magnitude > 13)
      throw new WrinkleFreeError("bad_file", `tl2: code ${magnitude} is not 0..13`);
    const [word, bit] = signPlace(layout, row, t);
    const signs = bytes[layout.signsAt + 2 * word + (bit >> 3)] as number;
    const code = ((signs >> (bit & 7)) & 1 ? -magnitude : magnitude) + 13;
    trits[start + 3 * t] = Math.floor(code / 9) - 1;
    trits[start + 3 * t + 1] = (Math.floor(code / 3) % 3) - 1;
    trits[start + 3 * t + 2] = (code % 3) - 1;
  }
  for (let p = 0; p < layout.pairs / 2; p++) {
    const byte = bytes[layout.pairsAt + pairByte(layout, row, p)] as number;
    const code = p % 2 === 0 ? byte >> 4 : byte & 15;
    if (code > 8) throw new WrinkleFreeError("bad_file", `tl2: code ${code} is not 0..8`);
    trits[start + layout.triples + 2 * p] = Math.floor(code / 3) - 1;
    trits[start + layout.triples + 2 * p + 1] = (code % 3) - 1;
  }
}

function packRow(trits: Int8Array, layout: Layout, row: number, bytes: Uint8Array): void {
  const start = row * layout.columns;
  for (let t = 0; t < layout.triples / 3; t++) {
    const at = start + 3 * t;
    const code =
      9 * (trits[at] as number) + 3 * (trits[at + 1] as number) + (trits[at + 2] as number);
    const to = tripleByte(layout, row, t);
    bytes[to] = (bytes[to] as number) | (Math.abs(code) << (t % 2 === 0 ? 4 : 0));
    if (code >= 0) continue;
    const [word, bit] = signPlace(layout, row, t);
    const sign = layout.signsAt + 2 * word + (bit >> 3);
    bytes[sign] = (bytes[sign] as number) | (1 << (bit & 7));
  }
  for (let p = 0; p < layout.pairs / 2; p++) {
    const at = start + layout.triples + 2 * p;
    const code = 3 * (trits[at] as number) + (trits[at + 1] as number) + 4;
    const to = layout.pairsAt + pairByte(layout, row, p);
    bytes[to] = (bytes[to] as number) | (code << (p % 2 === 0 ? 4 : 0));
  }
}

export const tl2: Quantizer = ternaryQuantizer({
  format: "tl2",
  ggufType: 39,
  separateScale: true,
  padded: true,
  byteLength: (shape, parameters) => Math.ceil(layoutOf(shape, parameters).used / 32) * 32,
  parameters: (shape) => ({ ...layoutOf(shape).tiles }),
  scales: (data, shape) => tensorScales(1, data, shape),
  trits(data, shape) {
    const layout = layoutOf(shape, data.parameters);
    const trits = new Int8Array(elements(shape));
    for (let row = 0; row < layout.rows; row++) unpackRow(data.bytes, layout, row, trits);
    return trits;
  },
  pack({ trits, scales }, shape) {
    const layout = layoutOf(shape);
    const bytes = new Uint8Array(Math.ceil(layout.used / 32) * 32);
    for (let row = 0; row < layout.rows; row++) packRow(trits, layout, row, bytes);
    return { bytes, scale: scales.slice(), parameters: { ...layout.tiles } };
  },
});
