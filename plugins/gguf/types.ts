// ggml's tensor types: their ids, names, and bytes for a shape.
import { WrinkleFreeError } from "../../core/index.ts";

export interface BlockType {
  readonly format: string;
  /** Weights in a block along a row, and its bytes. */
  readonly block: number;
  readonly bytes: number;
}

const blockTypes: Readonly<Record<number, BlockType>> = {
  0: { format: "f32", block: 1, bytes: 4 },
  1: { format: "f16", block: 1, bytes: 2 },
  2: { format: "q4_0", block: 32, bytes: 18 },
  3: { format: "q4_1", block: 32, bytes: 20 },
  6: { format: "q5_0", block: 32, bytes: 22 },
  7: { format: "q5_1", block: 32, bytes: 24 },
  8: { format: "q8_0", block: 32, bytes: 34 },
  9: { format: "q8_1", block: 32, bytes: 36 },
  10: { format: "q2_k", block: 256, bytes: 84 },
  11: { format: "q3_k", block: 256, bytes: 110 },
  12: { format: "q4_k", block: 256, bytes: 144 },
  13: { format: "q5_k", block: 256, bytes: 176 },
  14: { format: "q6_k", block: 256, bytes: 210 },
  15: { format: "q8_k", block: 256, bytes: 292 },
  16: { format: "iq2_xxs", block: 256, bytes: 66 },
  17: { format: "iq2_xs", block: 256, bytes: 74 },
  18: { format: "iq3_xxs", block: 256, bytes: 98 },
  19: { format: "iq1_s", block: 256, bytes: 50 },
  20: { format: "iq4_nl", block: 32, bytes: 18 },
  21: { format: "iq3_s", block: 256, bytes: 110 },
  22: { format: "iq2_s", block: 256, bytes: 82 },
  23: { format: "iq4_xs", block: 256, bytes: 136 },
  24: { format: "i8", block: 1, bytes: 1 },
  25: { format: "i16", block: 1, bytes: 2 },
  26: { format: "i32", block: 1, bytes: 4 },
  27: { format: "i64", block: 1, bytes: 8 },
  28: { format: "f64", block: 1, bytes: 8 },
  29: { format: "iq1_m", block: 256, bytes: 56 },
  30: { format: "bf16", block: 1, bytes: 2 },
  34: { format: "tq1_0", block: 256, bytes: 54 },
  35: { format: "tq2_0", block: 256, bytes: 66 },
  41: { format: "q1_0", block: 128, bytes: 18 },
  142: { format: "pq2_0", block: 128, bytes: 34 },
  143: { format: "ptq1_0", block: 128, bytes: 28 },
};

export const mxfp4: BlockType = { format: "mxfp4", block: 32, bytes: 17 };
export const q2Groups64: BlockType = { format: "q2_0", block: 64, bytes: 18 };
export const q2Groups128: BlockType = { format: "q2_0_g128", block: 128, bytes: 34 };

export interface Encoding {
  readonly format: string;
  readonly byteLength: number;
}

/** Format and bytes of a block type; undefined where the rows are not whole blocks. */
export function blockEncoding(type: BlockType, shape: readonly number[]): Encoding | undefined {
  const columns = shape[shape.length - 1] ?? 1;
  if (columns % type.block !== 0) return undefined;
  return { format: type.format, byteLength: (product(shape) / type.block) * type.bytes };
}

export function product(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}

/**
 * Format and bytes of ggml type `id`. `span` is the room up to the next tensor, which tells apart what
 * shares an id: q2_0 in groups of 64 and 128 (42), tl2 and mxfp4 (39). Throws a text that says why not.
 */
export function encodingOf(
  id: number,
  shape: readonly number[],
  span: number,
  alignment: number,
): Encoding {
  const count = product(shape);
  const columns = shape[shape.length - 1] ?? 1;
  const rows = count / columns;
  const wrong = (format: string, block: number): never => {
    throw new WrinkleFreeError(
      "bad_file",
      `type ${format} stores rows in blocks of ${block}, but the row has ${columns} values`,
    );
  };
  const known = blockTypes[id];
  if (known) return blockEncoding(known, shape) ?? wrong(known.format, known.block);
  const aligned = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;
  switch (id) {
    case 36:
      return count % 4 === 0 ? { format: "i2_s", byteLength: count / 4 + 32 } : wrong("i2_s", 4);
    case 38:
      return count % 4 === 0 ? { format: "tl1", byteLength: count / 4 } : wrong("tl1", 4);
    case 39: {
      const fp4 = blockEncoding(mxfp4, shape);
      if (fp4 && fp4.byteLength <= span) return fp4;
      return { format: "tl2", byteLength: span };
    }
    case 42: {
      const fits = [q2Groups64, q2Groups128]
        .map((type) => blockEncoding(type, shape))
        .filter((encoding) => encoding && aligned(encoding.byteLength) === aligned(span));
      if (fits[0]) return fits[0];
      throw new WrinkleFreeError(
        "bad_file",
        `type q2_0 with ${span} bytes for ${count} values is neither in groups of 64 nor of 128`,
      );
    }
    case 134:
      if (columns % 64 !== 0) return wrong("iq1_bn", 64);
      return { format: "iq1_bn", byteLength: rows * (2 + (columns / 64) * 13) };
    case 135:
      if (columns % 64 !== 0) return wrong("iq2_bn", 64);
      return { format: "iq2_bn", byteLength: rows * (4 + columns / 4) };
    default:
      return { format: `ggml-type-${id}`, byteLength: span };
  }
}
