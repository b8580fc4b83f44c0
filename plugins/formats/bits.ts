// Reading and writing of half floats and two-bit codes in unaligned bytes.
import { badCode } from "./ternary.ts";

/** A Float16Array, Float32Array... over the bytes; copies only where they are misaligned. */
export function alignedBuffer(bytes: Uint8Array, size: number): [ArrayBuffer, number] {
  const whole = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return [whole.buffer as ArrayBuffer, whole.byteOffset];
}

const half = new Float16Array(1);
const halfBits = new Uint16Array(half.buffer);

export function readHalf(bytes: Uint8Array, offset: number): number {
  halfBits[0] = (bytes[offset] as number) | ((bytes[offset + 1] as number) << 8);
  return half[0] as number;
}

/** Writes `value` as float16, rounded to nearest even. */
export function writeHalf(bytes: Uint8Array, offset: number, value: number): void {
  half[0] = value;
  bytes[offset] = halfBits[0] as number;
  bytes[offset + 1] = (halfBits[0] as number) >> 8;
}

export function readFloat(bytes: Uint8Array, offset: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + offset, 4).getFloat32(0, true);
}

export function writeFloat(bytes: Uint8Array, offset: number, value: number): void {
  new DataView(bytes.buffer, bytes.byteOffset + offset, 4).setFloat32(0, value, true);
}

/** From so many bytes on, four codes of a lane at once are worth their two views. */
const wordwise = 256;
/** The two bits of each code in a word of four. */
export const codeBits = 0x03030303;

/** Whether both stretches can be seen as words of four bytes. */
function aligned(bytes: Uint8Array, from: number, trits: Int8Array, to: number): boolean {
  return (bytes.byteOffset + from) % 4 === 0 && (trits.byteOffset + to) % 4 === 0;
}

/** `length` bytes of a buffer from `offset` on, as words. */
export function wordsOf(part: Uint8Array | Int8Array, offset: number, length: number): Int32Array {
  return new Int32Array(part.buffer as ArrayBuffer, part.byteOffset + offset, length / 4);
}

/** Four codes (trit + 1) in the low bits of a word's bytes, as trits. */
export function tritsOfWord(codes: number): number {
  return ((codes | 0x80808080) - 0x01010101) ^ 0x80808080;
}

/** Four trits as codes. */
export function codesOfWord(trits: number): number {
  return ((trits & codeBits) + 0x01010101) & codeBits;
}

/**
 * Blocks of 4 * lanes weights in `lanes` bytes: byte p of a block holds the codes (trit + 1) of weights
 * p, p + lanes, p + 2 lanes, p + 3 lanes, the first in its top bits ("high") or its low ones.
 */
export function unpackLanes(
  format: string,
  bytes: Uint8Array,
  from: number,
  trits: Int8Array,
  to: number,
  blocks: number,
  lanes: number,
  high: boolean,
): void {
  const s0 = high ? 6 : 0;
  const s1 = high ? 4 : 2;
  const s2 = high ? 2 : 4;
  const s3 = high ? 0 : 6;
  let bad = 0;
  if (blocks * lanes >= wordwise && aligned(bytes, from, trits, to)) {
    const words = wordsOf(bytes, from, blocks * lanes);
    const target = wordsOf(trits, to, 4 * blocks * lanes);
    if (!unpackWords(words, target, lanes / 4, [s0, s1, s2, s3])) badCode(format);
    return;
  }
  for (let b = 0; b < blocks; b++) {
    const source = from + b * lanes;
    const target = to + b * lanes * 4;
    for (let p = 0; p < lanes; p++) {
      const byte = bytes[source + p] as number;
      bad |= byte & (byte >> 1) & 0x55;
      const at = target + p;
      trits[at] = ((byte >> s0) & 3) - 1;
      trits[at + lanes] = ((byte >> s1) & 3) - 1;
      trits[at + 2 * lanes] = ((byte >> s2) & 3) - 1;
      trits[at + 3 * lanes] = ((byte >> s3) & 3) - 1;
    }
  }
  if (bad !== 0) badCode(format);
}

/** The inverse of `unpackLanes`. */
export function packLanes(
  trits: Int8Array,
  from: number,
  bytes: Uint8Array,
  to: number,
  blocks: number,
  lanes: number,
  high: boolean,
): void {
  const s0 = high ? 6 : 0;
  const s1 = high ? 4 : 2;
  const s2 = high ? 2 : 4;
  const s3 = high ? 0 : 6;
  if (blocks * lanes >= wordwise && aligned(bytes, to, trits, from)) {
    const words = wordsOf(bytes, to, blocks * lanes);
    packWords(wordsOf(trits, from, 4 * blocks * lanes), words, lanes / 4, [s0, s1, s2, s3]);
    return;
  }
  for (let b = 0; b < blocks; b++) {
    const source = from + b * lanes * 4;
    const target = to + b * lanes;
    for (let p = 0; p < lanes; p++) {
      const at = source + p;
      bytes[target + p] =
        (((trits[at] as number) + 1) << s0) |
        (((trits[at + lanes] as number) + 1) << s1) |
        (((trits[at + 2 * lanes] as number) + 1) << s2) |
        (((trits[at + 3 * lanes] as number) + 1) << s3);
    }
  }
}

type Shifts = readonly [number, number, number, number];

/** Blocks of `step` words to four times as many; false where a code is 3. */
function unpackWords(
  words: Int32Array,
  trits: Int32Array,
  step: number,
  [s0, s1, s2, s3]: Shifts,
): boolean {
  let bad = 0;
  for (let i = 0, at = 0; i < words.length; at += 3 * step) {
    for (const end = i + step; i < end; i++, at++) {
      const word = words[i] as number;
      bad |= word & (word >>> 1) & 0x55555555;
      trits[at] = tritsOfWord((word >>> s0) & codeBits);
      trits[at + step] = tritsOfWord((word >>> s1) & codeBits);
      trits[at + 2 * step] = tritsOfWord((word >>> s2) & codeBits);
      trits[at + 3 * step] = tritsOfWord((word >>> s3) & codeBits);
    }
  }
  return bad === 0;
}

function packWords(
  trits: Int32Array,
  words: Int32Array,
  step: number,
  [s0, s1, s2, s3]: Shifts,
): void {
  for (let i = 0, at = 0; i < words.length; at += 3 * step) {
    for (const end = i + step; i < end; i++, at++) {
      words[i] =
        (codesOfWord(trits[at] as number) << s0) |
        (codesOfWord(trits[at + step] as number) << s1) |
        (codesOfWord(trits[at + 2 * step] as number) << s2) |
        (codesOfWord(trits[at + 3 * step] as number) << s3);
    }
  }
}
