// A router that does not look at its logits: every token goes to the same experts.
import { type Router, WrinkleFreeError } from "../../core/index.ts";
import { check } from "./select.ts";

/**
 * Experts `targets`, or 0..k-1, each with weight 1/k: what a dense model converted to equal experts
 * is tested with (with k a power of two, its output is the dense one's bit for bit).
 */
export const identity: Router = {
  name: "identity",
  record: (recorder, logits, shape) => recorder.chooseExperts(logits, "fixed", shape),
  route(logits, shape) {
    check("identity", logits, shape);
    const { experts, topK, targets } = shape;
    if (targets !== undefined) {
      const valid = (target: number) => Number.isInteger(target) && target >= 0 && target < experts;
      if (targets.length !== topK || !targets.every(valid)) {
        throw new WrinkleFreeError(
          "bad_file",
          `router identity: targets [${targets}] must be ${topK} indices below ${experts}`,
          { field: "router_targets" },
        );
      }
    }
    return {
      experts: Int32Array.from({ length: topK }, (_, i) => targets?.[i] ?? i),
      weights: new Float32Array(topK).fill(1 / topK),
    };
  },
};
