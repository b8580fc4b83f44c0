// tq1_0 and tq2_0: llama.cpp's ternary blocks of 256 with a float16 scale.
import type { Quantizer } from "../../core/index.ts";
import { packLanes, readHalf, unpackLanes, writeHalf } from "./bits.ts";
import { elements, requireColumns, ternaryQuantizer } from "./ternary.ts";

const block = 256;

/** Runs of a tq1_0 block: [first byte, bytes, trits a byte]; weight = start + trit * bytes + byte. */
const runs = [
  [0, 32, 5],
  [32, 16, 5],
  [48, 4, 4],
] as const;
const tq1Bytes = 54;

/** Trit `n` (most significant first) of every tq1_0 byte: table[n * 256 + byte]. */
const tritTable: Int8Array = (() => {
  const table = new Int8Array(5 * 256);
  for (let n = 0, power = 1; n < 5; n++, power *= 3) {
    for (let byte = 0; byte < 256; byte++) {
      table[n * 256 + byte] = ((((byte * power) & 255) * 3) >> 8) - 1;
    }
  }
  return table;
})();

/** The float16 that ends each block. */
function blockScales(bytes: Uint8Array, blocks: number, blockBytes: number): Float32Array {
  const scales = new Float32Array(blocks);
  for (let b = 0; b < blocks; b++) scales[b] = readHalf(bytes, (b + 1) * blockBytes - 2);
  return scales;
}

export const tq1_0: Quantizer = ternaryQuantizer({
  format: "tq1_0",
  ggufType: 34,
  group: block,
  byteLength(shape) {
    requireColumns("tq1_0", shape, block);
    return (elements(shape) / block) * tq1Bytes;
  },
  scales: ({ bytes }, shape) => blockScales(bytes, elements(shape) / block, tq1Bytes),
  trits({ bytes }, shape) {
    const trits = new Int8Array(elements(shape));
    for (let b = 0; b < trits.length / block; b++) {
      let to = b * block;
      for (const [first, width, count] of runs) {
        const from = b * tq1Bytes + first;
        for (let n = 0; n < count; n++) {
          const row = n * 256;
          for (let m = 0; m < width; m++) {
            trits[to++] = tritTable[row + (bytes[from + m] as number)] as number;
          }
        }
      }
    }
    return trits;
  },
  pack({ trits, scales }, shape) {
    requireColumns("tq1_0", shape, block);
    const bytes = new Uint8Array(scales.length * tq1Bytes);
    for (let b = 0; b < scales.length; b++) {
      let from = b * block;
      for (const [first, width, count] of runs) {
        const to = b * tq1Bytes + first;
        for (let m = 0; m < width; m++) {
          let digits = 0;
          for (let n = 0; n < 5; n++) {
            digits = 3 * digits + (n < count ? (trits[from + n * width + m] as number) + 1 : 0);
          }
          bytes[to + m] = (digits * 256 + 242) / 243;
        }
        from += width * count;
      }
      writeHalf(bytes, b * tq1Bytes + 52, scales[b] as number);
    }
    return { bytes };
  },
});

const tq2Bytes = 66;

export const tq2_0: Quantizer = ternaryQuantizer({
  format: "tq2_0",
  ggufType: 35,
  group: block,
  byteLength(shape) {
    requireColumns("tq2_0", shape, block);
    return (elements(shape) / block) * tq2Bytes;
  },
  scales: ({ bytes }, shape) => blockScales(bytes, elements(shape) / block, tq2Bytes),
  trits({ bytes }, shape) {
    const trits = new Int8Array(elements(shape));
    for (let b = 0; b < trits.length / block; b++) {
      unpackLanes("tq2_0", bytes, b * tq2Bytes, trits, b * block, 2, 32, false);
    }
    return trits;
  },
  pack({ trits, scales }, shape) {
    requireColumns("tq2_0", shape, block);
    const bytes = new Uint8Array(scales.length * tq2Bytes);
    for (let b = 0; b < scales.length; b++) {
      packLanes(trits, b * block, bytes, b * tq2Bytes, 2, 32, false);
      writeHalf(bytes, b * tq2Bytes + 64, scales[b] as number);
    }
    return { bytes };
  },
});
