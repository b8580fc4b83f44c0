// What the routers share: checking their input, and choosing the k best scores.
import { type RouterShape, WrinkleFreeError } from "../../core/index.ts";

/** Throws `bad_file` unless 1 <= topK <= experts, a logit for each, and bias and groups that fit. */
export function check(router: string, logits: Float32Array, shape: RouterShape): void {
  const { experts, topK } = shape;
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
  const { bias, groups, groupsUsed = 0 } = shape;
  const fail = (field: string, text: string): never => {
    throw new WrinkleFreeError("bad_file", `router ${router}: ${text}`, { field });
  };
  if (bias && (bias.length !== experts || !bias.every(Number.isFinite))) {
    fail("exp_probs_b", `bias of ${bias.length} elements, ${experts} finite ones expected`);
  }
  if (groups === undefined) return;
  if (!(Number.isInteger(groups) && groups >= 1 && experts % groups === 0)) {
    fail("expert_group_count", `${experts} experts do not make ${groups} equal groups`);
  }
  const reachable = (groupsUsed * experts) / groups;
  if (!(Number.isInteger(groupsUsed) && groupsUsed <= groups && reachable >= topK)) {
    fail("expert_group_used_count", `${topK} experts from ${groupsUsed} of ${groups} groups`);
  }
}

/**
 * Indices of the topK experts a token goes to, best first: the largest of score + bias, within the
 * groups whose two largest members have the largest sum (DeepSeek-V3, arXiv 2412.19437, section 2.1.2).
 */
export function select(scores: Float32Array, shape: RouterShape): Int32Array {
  const { experts, topK, bias, groups, groupsUsed = 0 } = shape;
  const ranked = bias ? scores.map((score, e) => score + bias[e]!) : scores.slice();
  if (groups === undefined) return best(ranked, topK);
  const size = experts / groups;
  const sums = Float32Array.from({ length: groups }, (_, g) => {
    const members = ranked.subarray(g * size, (g + 1) * size);
    return best(members, Math.min(2, size)).reduce((sum, e) => sum + members[e]!, 0);
  });
  const kept = best(sums, groupsUsed);
  return best(
    ranked.map((score, e) => (kept.includes(Math.floor(e / size)) ? score : -Infinity)),
    topK,
  );
}

/** Indices of the k largest scores, best first; ties go to the lowest index. NaN comes last. */
function best(scores: Float32Array, k: number): Int32Array {
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
