// q4_0 and q4_1: blocks of 32 four-bit weights with a float16 scale, and minimum in q4_1 (ggml).
import type { Quantizer } from "../../core/index.ts";
import { readHalf, writeHalf } from "./bits.ts";
import { elements, requireBytes, requireColumns } from "./ternary.ts";

const block = 32;

interface Fit {
  /** value = scale * code + offset */
  readonly scale: number;
  readonly offset: number;
}

function fourBit(format: string, ggufType: number, minimum: boolean): Quantizer {
  const header = minimum ? 4 : 2;
  const blockBytes = header + 16;
  const byteLength = (shape: readonly number[]): number => {
    requireColumns(format, shape, block);
    return (elements(shape) / block) * blockBytes;
  };
  const fit = minimum ? fitRange : fitSigned;
  return {
    format,
    ggufType,
    byteLength,
    encode(values, shape) {
      const bytes = new Uint8Array(byteLength(shape));
      for (let from = 0, to = 0; from < values.length; from += block, to += blockBytes) {
        const { scale, offset } = fit(values, from);
        const inverse = scale === 0 ? 0 : 1 / scale;
        writeHalf(bytes, to, scale);
        if (minimum) writeHalf(bytes, to + 2, offset);
        for (let i = 0; i < 16; i++) {
          const low = nibble(((values[from + i] as number) - offset) * inverse);
          const high = nibble(((values[from + 16 + i] as number) - offset) * inverse);
          bytes[to + header + i] = low | (high << 4);
        }
      }
      return { bytes };
    },
    decode(data, shape) {
      requireBytes(format, data, byteLength(shape));
      const values = new Float32Array(elements(shape));
      const bytes = data.bytes;
      for (let to = 0, from = 0; to < values.length; to += block, from += blockBytes) {
        const scale = readHalf(bytes, from);
        const offset = minimum ? readHalf(bytes, from + 2) : -8 * scale;
        for (let i = 0; i < 16; i++) {
          const byte = bytes[from + header + i] as number;
          values[to + i] = (byte & 15) * scale + offset;
          values[to + 16 + i] = (byte >> 4) * scale + offset;
        }
      }
      return values;
    },
  };
}

function nibble(value: number): number {
  return Math.max(0, Math.min(15, Math.floor(value + 0.5)));
}

/** The value of largest magnitude becomes code 0, that is -8 scales. */
function fitSigned(values: Float32Array, from: number): Fit {
  let extreme = 0;
  for (let i = from; i < from + block; i++) {
    const value = values[i] as number;
    if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  }
  const scale = Math.fround(extreme / -8);
  return { scale, offset: -8 * scale };
}

function fitRange(values: Float32Array, from: number): Fit {
  let least = Infinity;
  let most = -Infinity;
  for (let i = from; i < from + block; i++) {
    const value = values[i] as number;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return { scale: Math.fround((most - least) / 15), offset: least };
}

export const q4_0: Quantizer = fourBit("q4_0", 2, false);
export const q4_1: Quantizer = fourBit("q4_1", 3, true);
