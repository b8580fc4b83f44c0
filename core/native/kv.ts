// Sizes of the KV cache's pages; the same formulas as kernels-zig/attention/kv.zig.
import { KvType, pagePositions } from "./abi.ts";

/**
 * Bytes of one layer's part of a page: keys and values of 32 positions. A multiple of 64.
 * `typeK` and `typeV` are values of KvType; int8 adds a float32 scale for each position and head.
 */
export function kvLayerBytes(
  kvHeads: number,
  headDim: number,
  typeK: number,
  typeV: number,
): number {
  return kvPartBytes(kvHeads, headDim, typeK) + kvPartBytes(kvHeads, headDim, typeV);
}

function kvPartBytes(kvHeads: number, headDim: number, type: number): number {
  const element = type === KvType.i8 ? 1 : 2;
  const scale = type === KvType.i8 ? 4 : 0;
  const padded = Math.ceil(headDim / 16) * 16;
  const bytes = kvHeads * pagePositions * (padded * element + scale);
  return Math.ceil(bytes / 64) * 64;
}
