// The usual routers of mixtures of experts: the k best logits, weighted by softmax or sigmoid.
import { exp, type Router } from "../../core/index.ts";
import { best, check } from "./select.ts";

/**
 * Softmax router (Mixtral, Qwen3): the k largest logits, ties to the lowest index. Weights:
 * softmax over the chosen logits (normalize), or the softmax over all, gathered.
 */
export const topK: Router = {
  name: "top-k",
  record: (recorder, logits, shape) => recorder.chooseExperts(logits, "softmax", shape),
  route(logits, shape) {
    check("top-k", logits, shape);
    const experts = best(logits, shape.topK);
    const max = logits[experts[0]!]!;
    let sum = 0;
    if (shape.normalize) for (const expert of experts) sum += exp(logits[expert]! - max);
    else for (const logit of logits) sum += exp(logit - max);
    return {
      experts,
      weights: Float32Array.from(experts, (expert) => exp(logits[expert]! - max) / sum),
    };
  },
};

/**
 * Sigmoid router (DeepSeek-V3, Llama 4): the same choice; a weight is 1 / (1 + exp(-logit)),
 * divided by the chosen ones' sum (normalize) or as it is.
 */
export const topKSigmoid: Router = {
  name: "top-k-sigmoid",
  route(logits, shape) {
    check("top-k-sigmoid", logits, shape);
    const experts = best(logits, shape.topK);
    const scores = Float64Array.from(experts, (expert) => 1 / (1 + exp(-logits[expert]!)));
    const sum = shape.normalize ? scores.reduce((a, b) => a + b, 0) : 1;
    return { experts, weights: Float32Array.from(scores, (score) => score / sum) };
  },
};
