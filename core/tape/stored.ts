// Finds and decodes the stored rows of one part of a packed matrix: a tensor, or an expert of a stack.
import { assert } from "../errors.ts";
import type { Model } from "../model.ts";
import { type Part, type RowScales, rowScales } from "./parts.ts";

/** Encoded rows in the mapped file. */
interface Stored {
  readonly address: number;
  /** Up to the end of the tensor: a bound for reading. */
  readonly bytes: number;
  /** The part's share of the tensor. */
  readonly share: number;
}

/** Where the encoded rows of a part lie: a tensor of its own, or an expert's share of a stack. */
export function stored(model: Model, part: Part, k: number): Stored {
  const tensor = model.tensor(part.name);
  const own = tensor.parts[tensor.parts.length > 1 ? part.index : 0];
  assert(own, "the part exists");
  if (tensor.parts.length > 1 || tensor.shape.length < 3) {
    return { address: own.address, bytes: own.byteLength, share: own.byteLength };
  }
  // Rows are stored one after another; what follows them (i2_s: the scale) cancels out.
  const rows = (tensor.shape[0] ?? 1) * part.rows;
  const size = (count: number): number => tensor.quantizer.byteLength([count, k]);
  const bytes = size(rows) - size(rows - part.rows);
  return {
    address: own.address + part.index * bytes,
    bytes: own.byteLength - part.index * bytes,
    share: bytes,
  };
}

/** Values of a part, decoded in TypeScript. */
export interface Decoded {
  /** Trits or float32, row-major. */
  readonly values: Int8Array | Float32Array;
  /** Of masters: the scales that quantizing them gave, so that it is not done again for them. */
  readonly scales?: RowScales;
}

/** Stacks of experts that are being packed, decoded as a whole: one expert after another asks. */
export type DecodedStacks = Map<string, Int8Array | Float32Array>;

/** Decodes a part in TypeScript: for masters, and for formats without a native unpack. */
export function decoded(model: Model, part: Part, k: number, stacks: DecodedStacks): Decoded {
  const tensor = model.tensor(part.name);
  const { name } = part;
  if (tensor.shape.length === 3 && tensor.parts.length === 1) {
    const all =
      stacks.get(name) ?? (tensor.ternary ? model.ternary(name).trits : model.floats(name));
    stacks.set(name, all);
    const size = part.rows * k;
    return { values: all.subarray(part.index * size, (part.index + 1) * size) };
  }
  if (!tensor.ternary) return { values: model.floats(name, part.index) };
  const { trits, scales } = model.ternary(name, part.index);
  const known = tensor.masters ? rowScales(scales, part.rows, k, undefined) : undefined;
  return { values: trits, scales: known };
}
