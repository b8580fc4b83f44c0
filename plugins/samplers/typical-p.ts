// Locally typical sampling: the tokens whose surprise is nearest to the expected one.
import { Type } from "@sinclair/typebox";
import { type Candidates, log, type Sampler, softmax } from "../../core/index.ts";
import { minKeep } from "./min-keep.ts";

const options = Type.Object({
  typical_p: Type.Number({
    default: 1,
    minimum: 0,
    maximum: 1,
    description: "Keep the most typical tokens that together exceed this probability; 1 = off.",
  }),
  ...minKeep,
});

/**
 * With entropy H, in ascending order of |-ln p_i - H|: keeps the shortest prefix whose probability
 * is > p, and at least min_keep (Meister et al., 2022).
 */
export const typicalP: Sampler<typeof options> = {
  name: "typ_p",
  letter: "y",
  options,
  create({ typical_p, min_keep }) {
    if (typical_p >= 1) return undefined;
    return { apply: (candidates) => typical(candidates, typical_p, min_keep) };
  },
};

function typical(candidates: Candidates, p: number, minKeep: number): void {
  const { ids, logits, length } = candidates;
  if (length <= 1) return;
  const probability = softmax(candidates);
  const surprise = Float64Array.from({ length }, (_, i) => -log(probability[i]!));
  let entropy = 0;
  for (let i = 0; i < length; i++) {
    if (probability[i]! > 0) entropy += probability[i]! * surprise[i]!;
  }
  const order = Int32Array.from({ length }, (_, i) => i).sort(
    (a, b) => Math.abs(surprise[a]! - entropy) - Math.abs(surprise[b]! - entropy) || a - b,
  );
  const kept: [number, number][] = [];
  let sum = 0;
  for (const index of order) {
    kept.push([ids[index]!, logits[index]!]);
    sum += probability[index]!;
    if (sum > p && kept.length >= minKeep) break;
  }
  for (const [i, [id, logit]] of kept.entries()) {
    ids[i] = id;
    logits[i] = logit;
  }
  candidates.length = kept.length;
  candidates.sorted = false;
}
