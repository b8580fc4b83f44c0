// Builds the tables of byte-level BPE from packed strings in the byte alphabet.
import { WrinkleFreeError } from "../errors.ts";
import type { PackedStrings } from "../plugin/loader.ts";
import { byteOfCode } from "./byte-level.ts";
import { Merges } from "./merges.ts";
import { eachString } from "./packed-strings.ts";
import { type TokenTable, TokenTableBuilder } from "./token-table.ts";

/** The tokens' bytes; those that are not `findable` are never found in text. */
export function readTokens(
  packed: PackedStrings,
  key: string,
  findable: (token: number) => boolean,
): TokenTable {
  const builder = new TokenTableBuilder(packed.count);
  let scratch = new Uint8Array(1024);
  eachString(packed, key, (start, end) => {
    if (scratch.length < end - start) scratch = new Uint8Array(2 * (end - start));
    const length = decodeAlphabet(packed.bytes, start, end, scratch, 0);
    for (let i = 0; i < length; i++) builder.push(scratch[i]!);
    builder.close();
  });
  return builder.build(findable);
}

/** Writes the bytes that a text in the byte alphabet stands for to into[at ..]; returns the end. */
function decodeAlphabet(
  bytes: Uint8Array,
  start: number,
  end: number,
  into: Uint8Array,
  at: number,
): number {
  let next = at;
  for (let i = start; i < end; i++) {
    const first = bytes[i]!;
    if (first > 0x20 && first < 0x7f) {
      into[next++] = first;
      continue;
    }
    const isPair = first >= 0xc2 && first <= 0xc5 && i + 1 < end;
    const byte = isPair ? byteOfCode(((first & 31) << 6) | (bytes[i + 1]! & 63)) : -1;
    // What is not in the alphabet (in added tokens) stands for itself.
    into[next++] = byte < 0 ? first : byte;
    if (byte >= 0) i++;
  }
  return next;
}

/** Merges by rank. Throws `bad_file` for one that does not join two tokens to a third. */
export function readMerges(packed: PackedStrings, key: string, table: TokenTable): Merges {
  const merges = new Merges(packed.count);
  const { bytes } = packed;
  let pair = new Uint8Array(1024);
  eachString(packed, key, (start, end, rank) => {
    if (pair.length < end - start) pair = new Uint8Array(2 * (end - start));
    let space = start + 1;
    while (space < end && bytes[space] !== 0x20) space++;
    const middle = decodeAlphabet(bytes, start, Math.min(space, end), pair, 0);
    const length = decodeAlphabet(bytes, Math.min(space + 1, end), end, pair, middle);
    const left = table.find(pair, 0, middle);
    const right = table.find(pair, middle, length);
    const merged = table.find(pair, 0, length);
    if (left < 0 || right < 0 || merged < 0) {
      const text = `${key}: merge ${rank} does not join two tokens to a third`;
      throw new WrinkleFreeError("bad_file", text, { field: key });
    }
    merges.set(left, right, rank, merged);
  });
  return merges;
}
