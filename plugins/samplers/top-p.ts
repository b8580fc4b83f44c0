// Top-p (nucleus): the smallest set of most likely tokens that holds a share p of the probability.
import { Type } from "@sinclair/typebox";
import {
  argmax,
  type Candidates,
  exp,
  log,
  retain,
  type Sampler,
  sortCandidates,
} from "../../core/index.ts";
import { minKeep } from "./min-keep.ts";

const options = Type.Object({
  top_p: Type.Number({
    default: 0.95,
    minimum: 0,
    maximum: 1,
    description: "Keep the most likely tokens that together reach this probability; 1 = all.",
  }),
  ...minKeep,
});

/**
 * With the softmax of the candidates left, in descending order: keeps the shortest prefix whose
 * sum is >= p, and at least min_keep (Holtzman et al., 2020). p = 0 keeps the best alone.
 */
export const topP: Sampler<typeof options> = {
  name: "top_p",
  letter: "p",
  options,
  create({ top_p, min_keep }) {
    if (top_p >= 1) return undefined;
    return { apply: (candidates) => nucleus(candidates, top_p, min_keep), monotone: true };
  },
};

function nucleus(candidates: Candidates, p: number, minKeep: number): void {
  const { logits, length } = candidates;
  if (length <= 1) return;
  const max = logits[argmax(candidates)]!;
  if (!Number.isFinite(max)) return;
  let whole = 0;
  for (let i = 0; i < length; i++) whole += exp(logits[i]! - max);
  if (!candidates.sorted) {
    // Tokens less likely than (1 - p) / n hold less than 1 - p together: no need to sort them.
    const least = max + log(((1 - p) / length) * whole) - 1e-3;
    if (minKeep <= 1) retain(candidates, (i) => logits[i]! >= least);
    sortCandidates(candidates);
  }
  let sum = 0;
  let kept = 0;
  while (kept < candidates.length) {
    sum += exp(logits[kept++]! - max);
    if (sum >= p * whole && kept >= minKeep) break;
  }
  candidates.length = kept;
}
