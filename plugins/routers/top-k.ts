// The usual routers of mixtures of experts: the k best logits, weighted by softmax or sigmoid.
import { exp, type Router } from "../../core/index.ts";
import { check, select } from "./select.ts";

/**
 * Softmax router (Mixtral, Qwen3): the k largest logits, ties to the lowest index. Weights:
 * softmax over the chosen logits (normalize), or the softmax over all, gathered; times \`scale\`. With
 * a bias or groups (DeepSeek-V2) it is the softmax over all that they rank.
 */
export const topK: Router = {
  name: "top-k",
  record: (recorder, logits, shape) => recorder.chooseExperts(logits, "softmax", shape),
  route(logits, shape) {
    check("top-k", logits, shape);
    let max = -Infinity;
    // Unlike Math.max, this leaves NaN out.
    for (const logit of logits) if (logit > max) max = logit;
    const powers = Float64Array.from(logits, (logit) => exp(logit - max));
    const all = powers.reduce((a, b) => a + b, 0);
    const ranks = shape.bias || shape.groups ? powers.map((power) => power / all) : logits;
    const experts = select(Float32Array.from(ranks), shape);
    const chosen = Float64Array.from(experts, (expert) => powers[expert]!);
    const sum = shape.normalize ? chosen.reduce((a, b) => a + b, 0) : all;
    const { scale = 1 } = shape;
    return { experts, weights: Float32Array.from(chosen, (power) => (power / sum) * scale) };
  },
};

/**
 * Sigmoid router (DeepSeek-V3, Llama 4): scores are 1 / (1 + exp(-logit)), chosen as \`select\` says;
 * a weight is the score, divided by the chosen ones' sum (normalize) or as it is, times \`scale\`.
 */
export const topKSigmoid: Router = {
  name: "top-k-sigmoid",
  record: (recorder, logits, shape) => recorder.chooseExperts(logits, "sigmoid", shape),
  route(logits, shape) {
    check("top-k-sigmoid", logits, shape);
    // Rounded as in the op: large logits tie there.
    const all = Float32Array.from(logits, (logit) => 1 / Math.fround(1 + exp(-logit)));
    const experts = select(all, shape);
    const scores = Float64Array.from(experts, (expert) => all[expert]!);
    const sum = shape.normalize ? scores.reduce((a, b) => a + b, 0) : 1;
    const { scale = 1 } = shape;
    return { experts, weights: Float32Array.from(scores, (score) => (score / sum) * scale) };
  },
};
