// hf-packed: transformers' offline BitNet; uint8 [out/4, in], row r in bits 2 floor(r / (out/4)).
import { type Quantizer, WrinkleFreeError } from "../../core/index.ts";
import { codeBits, codesOfWord, tritsOfWord, wordsOf } from "./bits.ts";
import { badCode, elements, tensorScales, ternaryQuantizer } from "./ternary.ts";

function quarter(shape: readonly number[]): number {
  const rows = shape[0] ?? 0;
  if (shape.length === 2 && rows % 4 === 0 && elements(shape) > 0) return elements(shape) / 4;
  throw new WrinkleFreeError(
    "unsupported",
    `hf-packed stores matrices of 4n rows; shape [${shape}] is not one`,
  );
}

export const hfPacked: Quantizer = ternaryQuantizer({
  format: "hf-packed",
  separateScale: true,
  byteLength: quarter,
  scales: (data, shape) => tensorScales(1, data, shape),
  trits(data, shape) {
    const size = quarter(shape);
    const trits = new Int8Array(4 * size);
    const bytes = data.bytes;
    let bad = 0;
    let i = 0;
    if (size % 4 === 0 && bytes.byteOffset % 4 === 0) {
      const words = wordsOf(bytes, 0, size);
      const quarters = [0, 1, 2, 3].map((part) => wordsOf(trits, part * size, size));
      const [q0, q1, q2, q3] = quarters as [Int32Array, Int32Array, Int32Array, Int32Array];
      for (let w = 0; w < words.length; w++) {
        const word = words[w] as number;
        bad |= word & (word >>> 1) & 0x55555555;
        q0[w] = tritsOfWord(word & codeBits);
        q1[w] = tritsOfWord((word >>> 2) & codeBits);
        q2[w] = tritsOfWord((word >>> 4) & codeBits);
        q3[w] = tritsOfWord((word >>> 6) & codeBits);
      }
      i = size;
    }
    for (; i < size; i++) {
      const byte = bytes[i] as number;
      bad |= byte & (byte >> 1) & 0x55;
      trits[i] = (byte & 3) - 1;
      trits[i + size] = ((byte >> 2) & 3) - 1;
      trits[i + 2 * size] = ((byte >> 4) & 3) - 1;
      trits[i + 3 * size] = (byte >> 6) - 1;
    }
    if (bad !== 0) badCode("hf-packed");
    return trits;
  },
  pack({ trits, scales }, shape) {
    const size = quarter(shape);
    const bytes = new Uint8Array(size);
    let i = 0;
    if (size % 4 === 0 && trits.byteOffset % 4 === 0) {
      const words = wordsOf(bytes, 0, size);
      const quarters = [0, 1, 2, 3].map((part) => wordsOf(trits, part * size, size));
      const [q0, q1, q2, q3] = quarters as [Int32Array, Int32Array, Int32Array, Int32Array];
      for (let w = 0; w < words.length; w++) {
        words[w] =
          codesOfWord(q0[w] as number) |
          (codesOfWord(q1[w] as number) << 2) |
          (codesOfWord(q2[w] as number) << 4) |
          (codesOfWord(q3[w] as number) << 6);
      }
      i = size;
    }
    for (; i < size; i++) {
      bytes[i] =
        ((trits[i] as number) + 1) |
        (((trits[i + size] as number) + 1) << 2) |
        (((trits[i + 2 * size] as number) + 1) << 4) |
        (((trits[i + 3 * size] as number) + 1) << 6);
    }
    return { bytes, scale: scales.slice() };
  },
});
