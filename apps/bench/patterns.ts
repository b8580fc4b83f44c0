// Encoded random weights: a few MiB of valid bytes of each format, repeated.

/** Formats that synthetic weights are stored in. */
export type Format = "i2_s" | "tq2_0" | "f16" | "q6_k" | "f32";

/** Elements and bytes of a block of each format. */
const blocks: Readonly<Record<Format, readonly [elements: number, bytes: number]>> = {
  i2_s: [4, 1],
  tq2_0: [256, 66],
  f16: [1, 2],
  q6_k: [256, 210],
  f32: [1, 4],
};

/** Bytes that follow the codes of i2_s: a float32 scale, and padding. */
const tailBytes = 32;
/**
 * A prime, so that rows of a repeated pattern rarely begin at the same place of it. Embeddings need
 * long patterns: equal rows are equal logits, of which the screened head must look at every one.
 */
const patternBlocks = 65521;
const weightScale = 0.01;
/** The smallest normal float16. */
const smallestHalf = 2 ** -14;

/** Bytes of `count` elements; random ones repeat a pattern, which no kernel can notice. */
export function patternBytes(format: Format, count: number, value?: number): Uint8Array {
  const out = new Uint8Array(byteLength(format, count));
  let at = 0;
  for (const piece of patternPieces(format, count, value)) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/** The same in pieces of at most a few MiB, for writing to a file. */
export function* patternPieces(format: Format, count: number, value?: number) {
  if (value !== undefined) {
    yield new Uint8Array(new Float32Array(count).fill(value).buffer);
    return;
  }
  const pattern = patternOf(format);
  const tail = format === "i2_s" ? tailBytes : 0;
  for (let left = byteLength(format, count) - tail; left > 0; left -= pattern.length) {
    yield pattern.subarray(0, Math.min(left, pattern.length));
  }
  if (tail > 0) {
    const bytes = new Uint8Array(tail);
    new DataView(bytes.buffer).setFloat32(0, weightScale, true);
    yield bytes;
  }
}

export function byteLength(format: Format, count: number): number {
  const [elements, bytes] = blocks[format];
  return (count / elements) * bytes + (format === "i2_s" ? tailBytes : 0);
}

const cache = new Map<Format, Uint8Array>();

function patternOf(format: Format): Uint8Array {
  const known = cache.get(format);
  if (known) return known;
  const made = new Uint8Array(makePattern[format](generator()).buffer);
  cache.set(format, made);
  return made;
}

const makePattern: Readonly<Record<Format, (next: () => number) => ArrayBufferView>> = {
  i2_s: (next) => Uint8Array.from({ length: 64 * patternBlocks }, () => fourTrits(next())),
  tq2_0: (next) =>
    blocksOf(66, patternBlocks >> 4, (block) => {
      for (let i = 0; i < 64; i++) block.setUint8(i, fourTrits(next()));
      block.setUint16(64, half(weightScale), true);
    }),
  f16: (next) => Uint16Array.from({ length: 32 * patternBlocks }, () => smallHalf(next())),
  q6_k: (next) =>
    blocksOf(210, patternBlocks, (block) => {
      for (let i = 0; i < 208; i += 4) block.setUint32(i, next(), true);
      block.setUint16(208, half(smallestHalf), true);
    }),
  f32: (next) => Float32Array.from({ length: 4 * patternBlocks }, () => next() / 2 ** 36 - 0.03125),
};

function blocksOf(bytes: number, count: number, fill: (block: DataView) => void): Uint8Array {
  const all = new Uint8Array(bytes * count);
  for (let at = 0; at < all.length; at += bytes) fill(new DataView(all.buffer, at, bytes));
  return all;
}

/** Uniform 32-bit integers: the upper bits of a linear congruential generator. */
function generator(): () => number {
  let state = 1;
  const step = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 16;
  };
  return () => ((step() << 16) | step()) >>> 0;
}

/** Four codes 0..2 of two bits. */
function fourTrits(random: number): number {
  const t = (random >>> 8) % 81;
  const digit = (power: number): number => Math.floor(t / power) % 3;
  return digit(1) | (digit(3) << 2) | (digit(9) << 4) | (digit(27) << 6);
}

/** float16 of magnitude 2^-6..2^-2, random sign and mantissa. */
function smallHalf(random: number): number {
  const exponent = 9 + ((random >>> 10) & 3);
  return ((random >>> 31) << 15) | (exponent << 10) | ((random >>> 12) & 1023);
}

/** float16 of a normal positive number, rounded down. */
function half(value: number): number {
  const exponent = Math.floor(Math.log2(value));
  return ((exponent + 15) << 10) | Math.floor((value / 2 ** exponent - 1) * 1024);
}
