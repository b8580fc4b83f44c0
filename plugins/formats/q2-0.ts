// q2_0 (groups of 64, and of 128 in Prism's older files) and pq2_0: float16 scale, then two-bit codes.
import type { Quantizer } from "../../core/index.ts";
import { readHalf, writeHalf } from "./bits.ts";
import { badCode, elements, requireColumns, ternaryQuantizer } from "./ternary.ts";

/** Group of `group` weights: float16 scale, then weight j in byte j/4, bits 2(j mod 4), as trit + 1. */
function twoBit(format: string, ggufType: number, group: number): Quantizer {
  const groupBytes = 2 + group / 4;
  return ternaryQuantizer({
    format,
    ggufType,
    group,
    byteLength(shape) {
      requireColumns(format, shape, group);
      return (elements(shape) / group) * groupBytes;
    },
    scales({ bytes }, shape) {
      const scales = new Float32Array(elements(shape) / group);
      for (let g = 0; g < scales.length; g++) scales[g] = readHalf(bytes, g * groupBytes);
      return scales;
    },
    trits({ bytes }, shape) {
      const trits = new Int8Array(elements(shape));
      let bad = 0;
      for (let g = 0, to = 0; g < trits.length / group; g++) {
        const from = g * groupBytes;
        for (let i = 2; i < groupBytes; i++, to += 4) {
          const byte = bytes[from + i] as number;
          bad |= byte & (byte >> 1) & 0x55;
          trits[to] = (byte & 3) - 1;
          trits[to + 1] = ((byte >> 2) & 3) - 1;
          trits[to + 2] = ((byte >> 4) & 3) - 1;
          trits[to + 3] = (byte >> 6) - 1;
        }
      }
      if (bad !== 0) badCode(format);
      return trits;
    },
    pack({ trits, scales }, shape) {
      requireColumns(format, shape, group);
      const bytes = new Uint8Array(scales.length * groupBytes);
      for (let g = 0, from = 0; g < scales.length; g++) {
        const to = g * groupBytes;
        writeHalf(bytes, to, scales[g] as number);
        for (let i = 2; i < groupBytes; i++, from += 4) {
          bytes[to + i] =
            ((trits[from] as number) + 1) |
            (((trits[from + 1] as number) + 1) << 2) |
            (((trits[from + 2] as number) + 1) << 4) |
            (((trits[from + 3] as number) + 1) << 6);
        }
      }
      return { bytes };
    },
  });
}

export const q2_0: Quantizer = twoBit("q2_0", 42, 64);
export const q2_0_g128: Quantizer = twoBit("q2_0_g128", 42, 128);
export const pq2_0: Quantizer = twoBit("pq2_0", 142, 128);
