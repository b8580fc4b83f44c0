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

/**
 * Places are sums of a number of the row and a number of the triple (pair, sign word): the rows' are
 * computed here, the columns' once for a tensor.
 */
interface Columns {
  /** Byte of each triple in section A, and its 16-bit word of signs in section B. */
  readonly triples: Int32Array;
  readonly words: Int32Array;
  /** Byte of each pair in section C. */
  readonly pairs: Int32Array;
}

function columnPlaces({ tiles, triples, pairs }: Layout): Columns {
  const { bm, bk, by } = tiles;
  const tile = (t: number): number => Math.floor(t / (bk / 3)) * (bm / 32);
  const inTile = (t: number): number => t % (bk / 3);
  return {
    triples: Int32Array.from(
      { length: triples / 3 },
      (_, t) => (tile(t) * (bk / by) + Math.floor(inTile(t) / (by / 3))) * 32,
    ),
    words: Int32Array.from(
      { length: triples / 3 },
      (_, t) => (tile(t) * (bk / (4 * by)) + (inTile(t) >> 3)) * 16,
    ),
    pairs: Int32Array.from(
      { length: pairs / 2 },
      (_, p) => ((p >> 4) * (bm / 32) * 8 + ((p & 15) >> 1)) * 32,
    ),
  };
}

/** A row's part of the places, `perTile` strips of 32 bytes (16 words) in a tile. */
function rowPlace(row: number, bm: number, tilesInRow: number, perTile: number): number {
  const block = Math.floor(row / bm) * tilesInRow * (bm / 32) + Math.floor((row % bm) / 32);
  return block * perTile;
}

function rowPlaces(
  { tiles, triples, pairs }: Layout,
  row: number,
): Record<"a" | "b" | "c", number> {
  const { bm, bk, by } = tiles;
  const inner = row % 32;
  const lane = (rowGroups[inner >> 3] as number) * 8 + (inner & 7);
  return {
    a: rowPlace(row, bm, triples / bk, bk / by) * 32 + lane,
    b: rowPlace(row, bm, triples / bk, bk / (4 * by)) * 16 + (row % 16),
    c: rowPlace(row, bm, pairs / pairTile, 8) * 32 + lane,
  };
}

/** The three trits of each code -13..13, one after another. */
const table = Int8Array.from({ length: 81 }, (_, i) => {
  const code = Math.floor(i / 3);
  return [Math.floor(code / 9), Math.floor(code / 3) % 3, code % 3][i % 3]! - 1;
});

function unpackRow(
  bytes: Uint8Array,
  layout: Layout,
  places: Columns,
  row: number,
  trits: Int8Array,
): void {
  const { a, b, c } = rowPlaces(layout, row);
  const shift = row % 32 >= 16 ? 1 : 0;
  let at = row * layout.columns;
  let largest = 0;
  for (let t = 0; t < places.triples.length; t++, at += 3) {
    const byte = bytes[a + (places.triples[t] as number)] as number;
    const magnitude = t & 1 ? byte & 15 : byte >> 4;
    if (magnitude > largest) largest = magnitude;
    const bit = 15 - (2 * (t & 7) + shift);
    const word = layout.signsAt + 2 * (b + (places.words[t] as number));
    const negative = ((bytes[word + (bit >> 3)] as number) >> (bit & 7)) & 1;
    const code = 3 * ((negative ? -magnitude : magnitude) + 13);
    trits[at] = table[code] as number;
    trits[at + 1] = table[code + 1] as number;
    trits[at + 2] = table[code + 2] as number;
  }
  if (largest > 13) throw new WrinkleFreeError("bad_file", `tl2: code ${largest} is not 0..13`);
  for (let p = 0; p < places.pairs.length; p++, at += 2) {
    const byte = bytes[layout.pairsAt + c + (places.pairs[p] as number)] as number;
    const code = p & 1 ? byte & 15 : byte >> 4;
    if (code > 8) throw new WrinkleFreeError("bad_file", `tl2: code ${code} is not 0..8`);
    trits[at] = Math.floor(code / 3) - 1;
    trits[at + 1] = (code % 3) - 1;
  }
}

function packRow(
  trits: Int8Array,
  layout: Layout,
  places: Columns,
  row: number,
  bytes: Uint8Array,
): void {
  const { a, b, c } = rowPlaces(layout, row);
  const shift = row % 32 >= 16 ? 1 : 0;
  let at = row * layout.columns;
  for (let t = 0; t < places.triples.length; t++, at += 3) {
    const code =
      9 * (trits[at] as number) + 3 * (trits[at + 1] as number) + (trits[at + 2] as number);
    const to = a + (places.triples[t] as number);
    const magnitude = code < 0 ? -code : code;
    bytes[to] = (bytes[to] as number) | (t & 1 ? magnitude : magnitude << 4);
    if (code >= 0) continue;
    const bit = 15 - (2 * (t & 7) + shift);
    const sign = layout.signsAt + 2 * (b + (places.words[t] as number)) + (bit >> 3);
    bytes[sign] = (bytes[sign] as number) | (1 << (bit & 7));
  }
  for (let p = 0; p < places.pairs.length; p++, at += 2) {
    const code = 3 * (trits[at] as number) + (trits[at + 1] as number) + 4;
    const to = layout.pairsAt + c + (places.pairs[p] as number);
    bytes[to] = (bytes[to] as number) | (p & 1 ? code : code << 4);
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
    const places = columnPlaces(layout);
    const trits = new Int8Array(elements(shape));
    for (let row = 0; row < layout.rows; row++) unpackRow(data.bytes, layout, places, row, trits);
    return trits;
  },
  pack({ trits, scales }, shape) {
    const layout = layoutOf(shape);
    const bytes = new Uint8Array(Math.ceil(layout.used / 32) * 32);
    const places = columnPlaces(layout);
    for (let row = 0; row < layout.rows; row++) packRow(trits, layout, places, row, bytes);
    return { bytes, scale: scales.slice(), parameters: { ...layout.tiles } };
  },
});
