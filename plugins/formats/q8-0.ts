// q8_0: blocks of 32 signed bytes with a float16 scale (ggml).
import type { Quantizer } from "../../core/index.ts";
import { readHalf, writeHalf } from "./bits.ts";
import { elements, requireBytes, requireColumns } from "./ternary.ts";

const block = 32;
const blockBytes = 34;

function byteLength(shape: readonly number[]): number {
  requireColumns("q8_0", shape, block);
  return (elements(shape) / block) * blockBytes;
}

export const q8_0: Quantizer = {
  format: "q8_0",
  ggufType: 8,
  byteLength,
  encode(values, shape) {
    const bytes = new Uint8Array(byteLength(shape));
    for (let from = 0, to = 0; from < values.length; from += block, to += blockBytes) {
      let largest = 0;
      for (let i = from; i < from + block; i++) {
        largest = Math.max(largest, Math.abs(values[i] as number));
      }
      const scale = Math.fround(largest / 127);
      const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
      writeHalf(bytes, to, scale);
      for (let i = 0; i < block; i++) {
        const scaled = Math.fround((values[from + i] as number) * inverse);
        // Round half away from zero, as ggml's roundf.
        bytes[to + 2 + i] = scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
      }
    }
    return { bytes };
  },
  decode(data, shape) {
    requireBytes("q8_0", data, byteLength(shape));
    const values = new Float32Array(elements(shape));
    const codes = new Int8Array(data.bytes.buffer, data.bytes.byteOffset, data.bytes.byteLength);
    for (let to = 0, from = 0; to < values.length; to += block, from += blockBytes) {
      const scale = readHalf(data.bytes, from);
      for (let i = 0; i < block; i++) values[to + i] = (codes[from + 2 + i] as number) * scale;
    }
    return values;
  },
};
