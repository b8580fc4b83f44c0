// Sets of Unicode characters, and the automaton that reads one of them byte by byte.

/** Disjoint ranges [first, last] of code points, ascending, without surrogates. */
export type CharacterSet = readonly (readonly [number, number])[];

const lastCode = 0x10ffff;

/** Sorts, joins, and drops what is no character: surrogates, and codes past U+10FFFF. */
export function characterSet(ranges: readonly (readonly [number, number])[]): CharacterSet {
  const pieces: [number, number][] = [];
  for (const [first, last] of ranges) {
    if (first < 0xd800) pieces.push([first, Math.min(last, 0xd7ff)]);
    if (last > 0xdfff) pieces.push([Math.max(first, 0xe000), Math.min(last, lastCode)]);
  }
  pieces.sort((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const [first, last] of pieces) {
    if (first > last) continue;
    const previous = joined.at(-1);
    if (previous && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else joined.push([first, last]);
  }
  return joined;
}

export function negated(set: CharacterSet): CharacterSet {
  const gaps: [number, number][] = [];
  let next = 0;
  for (const [first, last] of set) {
    if (first > next) gaps.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= lastCode) gaps.push([next, lastCode]);
  return characterSet(gaps);
}

export function setOf(characters: string): CharacterSet {
  return characterSet(Array.from(characters, (c) => [c.codePointAt(0)!, c.codePointAt(0)!]));
}

export const anyCharacter: CharacterSet = characterSet([[0, lastCode]]);

export const digits: CharacterSet = [[0x30, 0x39]];

/** A UTF-8 automaton: `table[state * 256 + byte]` is one of these, or the next state (> 0). */
export const dead = 0;
export const complete = -1;

export interface CharacterAutomaton {
  /** State 0 is the start. */
  readonly table: Int32Array;
  readonly states: number;
}

type ByteRange = readonly [number, number];

/** Builds the automaton that accepts the UTF-8 form of one character of the set. */
export function automaton(set: CharacterSet): CharacterAutomaton {
  const rows: Int32Array[] = [new Int32Array(256)];
  for (const [first, last] of set) {
    for (const bytes of byteRanges(first, last)) addPath(rows, bytes);
  }
  const table = new Int32Array(rows.length * 256);
  for (const [state, row] of rows.entries()) table.set(row, state * 256);
  return { table, states: rows.length };
}

/**
 * The paths of disjoint ranges, cut as below, begin alike or with different bytes: a byte range of
 * more than one byte is followed by all continuations, so no other path can share its bytes.
 */
function addPath(rows: Int32Array[], path: readonly ByteRange[]): void {
  let row = rows[0]!;
  for (const [depth, [first, last]] of path.entries()) {
    if (depth === path.length - 1) {
      row.fill(complete, first, last + 1);
      return;
    }
    let next = row[first]!;
    if (next === dead) {
      next = rows.length;
      rows.push(new Int32Array(256));
      row.fill(next, first, last + 1);
    }
    row = rows[next]!;
  }
}

/** Cuts a range of code points into ranges that are products of byte ranges. */
function byteRanges(first: number, last: number): ByteRange[][] {
  for (const limit of [0x7f, 0x7ff, 0xffff]) {
    if (first <= limit && last > limit) {
      return [...byteRanges(first, limit), ...byteRanges(limit + 1, last)];
    }
  }
  for (let bits = 6; bits <= 18; bits += 6) {
    const low = (1 << bits) - 1;
    if (first >> bits === last >> bits || first <= 0x7f) continue;
    if ((first & low) !== 0) {
      return [...byteRanges(first, first | low), ...byteRanges((first | low) + 1, last)];
    }
    if ((last & low) !== low) {
      return [...byteRanges(first, (last & ~low) - 1), ...byteRanges(last & ~low, last)];
    }
  }
  const a = encode(first);
  const b = encode(last);
  return [a.map((byte, i) => [byte, b[i]!] as const)];
}

function encode(code: number): number[] {
  return [...new TextEncoder().encode(String.fromCodePoint(code))];
}
