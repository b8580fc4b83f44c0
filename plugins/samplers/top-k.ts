// Top-k: only the k most likely tokens may be drawn.
import { Type } from "@sinclair/typebox";
import { keepLargest, type Sampler } from "../../core/index.ts";
import { minKeep } from "./min-keep.ts";

const options = Type.Object({
  top_k: Type.Integer({
    default: 40,
    description: "Keep only the k most likely tokens; 0 or less = all.",
  }),
  ...minKeep,
});

/** Keeps the k largest logits (ties: the lower id), in descending order (Fan et al., 2018). */
export const topK: Sampler<typeof options> = {
  name: "top_k",
  letter: "k",
  options,
  create({ top_k, min_keep }) {
    if (top_k <= 0) return undefined;
    const k = Math.max(top_k, min_keep);
    return { apply: (candidates) => keepLargest(candidates, k), keeps: k, monotone: true };
  },
};
