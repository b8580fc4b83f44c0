// iq1_bn and iq2_bn: ik_llama.cpp's ternary blocks of 64 behind one scale a row.
import type { Quantizer } from "../../core/index.ts";
import { packLanes, readFloat, readHalf, unpackLanes, writeFloat, writeHalf } from "./bits.ts";
import { columnsOf, elements, requireColumns, ternaryQuantizer } from "./ternary.ts";

const block = 64;
const iq1Bytes = 13;

/** Trit `n` (least significant first) of every iq1_bn byte: table[n * 256 + byte]. */
const tritTable: Int8Array = (() => {
  const table = new Int8Array(5 * 256);
  for (let n = 0, power = 81; n < 5; n++, power /= 3) {
    for (let byte = 0; byte < 256; byte++) {
      table[n * 256 + byte] = ((((byte * power) & 255) * 3) >> 8) - 1;
    }
  }
  return table;
})();

/** Base-3 number of `count` trits, `stride` apart, least significant first, as iq1_bn scales it. */
function packedDigits(trits: Int8Array, from: number, count: number, stride: number): number {
  let digits = 0;
  for (let n = count - 1; n >= 0; n--) {
    digits = 3 * digits + (trits[from + n * stride] as number) + 1;
  }
  return (digits * 256 + 242) / 243;
}

/** A block: 4 groups of 16 weights in 3 bytes of 5 trits; their 16th weights share the last byte. */
function unpackBlock(bytes: Uint8Array, from: number, trits: Int8Array, to: number): void {
  const extra = bytes[from + 12] as number;
  for (let a = 0; a < 4; a++) {
    for (let k = 0; k < 3; k++) {
      const byte = bytes[from + 3 * a + k] as number;
      const at = to + 16 * a + 5 * k;
      for (let n = 0; n < 5; n++) trits[at + n] = tritTable[n * 256 + byte] as number;
    }
    trits[to + 16 * a + 15] = tritTable[a * 256 + extra] as number;
  }
}

export const iq1_bn: Quantizer = ternaryQuantizer({
  format: "iq1_bn",
  ggufType: 134,
  group: Number.POSITIVE_INFINITY,
  byteLength(shape) {
    requireColumns("iq1_bn", shape, block);
    const rowBytes = 2 + (columnsOf(shape) / block) * iq1Bytes;
    return (elements(shape) / columnsOf(shape)) * rowBytes;
  },
  scales({ bytes }, shape) {
    const rowBytes = 2 + (columnsOf(shape) / block) * iq1Bytes;
    const scales = new Float32Array(elements(shape) / columnsOf(shape));
    for (let row = 0; row < scales.length; row++) scales[row] = readHalf(bytes, row * rowBytes);
    return scales;
  },
  trits({ bytes }, shape) {
    const columns = columnsOf(shape);
    const rowBytes = 2 + (columns / block) * iq1Bytes;
    const trits = new Int8Array(elements(shape));
    for (let row = 0; row < trits.length / columns; row++) {
      for (let b = 0; b < columns / block; b++) {
        const from = row * rowBytes + 2 + b * iq1Bytes;
        unpackBlock(bytes, from, trits, row * columns + b * block);
      }
    }
    return trits;
  },
  pack({ trits, scales }, shape) {
    requireColumns("iq1_bn", shape, block);
    const columns = columnsOf(shape);
    const rowBytes = 2 + (columns / block) * iq1Bytes;
    const bytes = new Uint8Array(scales.length * rowBytes);
    for (let row = 0; row < scales.length; row++) {
      writeHalf(bytes, row * rowBytes, scales[row] as number);
      for (let b = 0; b < columns / block; b++) {
        const to = row * rowBytes + 2 + b * iq1Bytes;
        const from = row * columns + b * block;
        for (let k = 0; k < 12; k++) {
          const start = from + 16 * Math.floor(k / 3) + 5 * (k % 3);
          bytes[to + k] = packedDigits(trits, start, 5, 1);
        }
        bytes[to + 12] = packedDigits(trits, from + 15, 4, 16);
      }
    }
    return { bytes };
  },
});

export const iq2_bn: Quantizer = ternaryQuantizer({
  format: "iq2_bn",
  ggufType: 135,
  group: Number.POSITIVE_INFINITY,
  byteLength(shape) {
    requireColumns("iq2_bn", shape, block);
    return (elements(shape) / columnsOf(shape)) * (4 + columnsOf(shape) / 4);
  },
  scales({ bytes }, shape) {
    const rowBytes = 4 + columnsOf(shape) / 4;
    const scales = new Float32Array(elements(shape) / columnsOf(shape));
    for (let row = 0; row < scales.length; row++) scales[row] = readFloat(bytes, row * rowBytes);
    return scales;
  },
  trits({ bytes }, shape) {
    const columns = columnsOf(shape);
    const rowBytes = 4 + columns / 4;
    const trits = new Int8Array(elements(shape));
    for (let row = 0; row < trits.length / columns; row++) {
      const from = row * rowBytes;
      unpackLanes("iq2_bn", bytes, from + 4, trits, row * columns, columns / block, 16, false);
    }
    return trits;
  },
  pack({ trits, scales }, shape) {
    requireColumns("iq2_bn", shape, block);
    const columns = columnsOf(shape);
    const rowBytes = 4 + columns / 4;
    const bytes = new Uint8Array(scales.length * rowBytes);
    for (let row = 0; row < scales.length; row++) {
      writeFloat(bytes, row * rowBytes, scales[row] as number);
      packLanes(trits, row * columns, bytes, row * rowBytes + 4, columns / block, 16, false);
    }
    return { bytes };
  },
});
