// How much memory the cached keys and values of a sequence take.
import type { Model } from "../../core/index.ts";
import { KvType, pagePositions } from "../../core/native/abi.ts";
import { kvLayerBytes } from "../../core/native/kv.ts";
import type { BenchOptions } from "./options.ts";

/** Bytes of whole pages for `positions` positions of one sequence, in all layers. */
export function cacheBytes(
  model: Model,
  types: Pick<BenchOptions, "cacheTypeK" | "cacheTypeV">,
  positions: number,
): number {
  const { layers, kvHeads, headDim } = model.hyperparameters;
  const [k, v] = [types.cacheTypeK, types.cacheTypeV].map((type) =>
    type === "q8_0" ? KvType.i8 : KvType.f16,
  ) as [number, number];
  return Math.ceil(positions / pagePositions) * layers * kvLayerBytes(kvHeads, headDim, k, v);
}
