// XTC ("exclude top choices"): at times, drops all likely tokens but the least likely of them.
import { Type } from "@sinclair/typebox";
import {
  type Candidates,
  Random,
  type Sampler,
  softmax,
  sortCandidates,
} from "../../core/index.ts";
import { minKeep } from "./min-keep.ts";

const options = Type.Object({
  xtc_probability: Type.Number({
    default: 0,
    minimum: 0,
    maximum: 1,
    description: "How often, token by token, the top choices are excluded; 0 = never.",
  }),
  xtc_threshold: Type.Number({
    default: 0.1,
    minimum: 0,
    description: "Probability from which a token counts as a top choice; above 0.5 = off.",
  }),
  ...minKeep,
});

/**
 * With probability xtc_probability (a number of its own generator, drawn only where two candidates
 * or more are left): of the candidates with p >= threshold, all but the last in descending order are
 * dropped, if at least min_keep are left (p-e-w, 2024).
 */
export const xtc: Sampler<typeof options> = {
  name: "xtc",
  letter: "x",
  options,
  create({ xtc_probability: chance, xtc_threshold: threshold, min_keep }, { seed }) {
    if (chance <= 0 || threshold > 0.5) return undefined;
    const random = new Random(seed);
    const apply = (candidates: Candidates): void => {
      if (candidates.length < 2 || random.float() > chance) return;
      exclude(candidates, threshold, min_keep);
    };
    return { apply };
  },
};

function exclude(candidates: Candidates, threshold: number, minKeep: number): void {
  sortCandidates(candidates);
  const { ids, logits, length } = candidates;
  const p = softmax(candidates);
  let last = 0;
  while (last + 1 < length && p[last + 1]! >= threshold) last++;
  if (last === 0 || length - last < minKeep) return;
  ids.copyWithin(0, last, length);
  logits.copyWithin(0, last, length);
  candidates.length = length - last;
}
