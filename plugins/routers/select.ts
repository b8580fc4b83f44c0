// What the routers share: checking their input, and choosing the k best scores.
import { type RouterShape, WrinkleFreeError } from "../../core/index.ts";

/** Throws `bad_file` unless 1 <= topK <= experts and there is a logit for each expert. */
export function check(router: string, logits: Float32Array, { experts, topK }: RouterShape): void {
  if (!(Number.isInteger(topK) && topK >= 1 && topK <= experts)) {
    throw new WrinkleFreeError(
      "bad_file",
      `router ${router}: ${topK} experts a token out of ${experts}`,
      { field: "expert_used_count" },
    );
  }
  if (logits.length !== experts) {
    throw new WrinkleFreeError(
      "bad_file",
      `router ${router}: ${logits.length} logits for ${experts} experts`,
      { field: "expert_count" },
    );
  }
}

/** Indices of the k largest scores, best first; ties go to the lowest index. NaN comes last. */
export function best(scores: Float32Array, k: number): Int32Array {
  const chosen = new Int32Array(k);
  const taken = new Uint8Array(scores.length);
  for (let i = 0; i < k; i++) {
    let top = -1;
    for (let expert = 0; expert < scores.length; expert++) {
      if (taken[expert] !== 0) continue;
      if (top < 0 || scores[expert]! > scores[top]! || Number.isNaN(scores[top])) {
        if (top < 0 || !Number.isNaN(scores[expert])) top = expert;
      }
    }
    taken[top] = 1;
    chosen[i] = top;
  }
  return chosen;
}
