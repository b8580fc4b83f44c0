// Adaptive-p: draws tokens whose probability is near a target, corrected by what was drawn before.
import { Type } from "@sinclair/typebox";
import {
  type Candidates,
  draw,
  Random,
  type Sampler,
  type SamplerLink,
  softmax,
} from "../../core/index.ts";

const options = Type.Object({
  adaptive_target: Type.Number({
    default: -1,
    maximum: 1,
    description: "Probability that drawn tokens should have on average; below 0 = off.",
  }),
  adaptive_decay: Type.Number({
    default: 0.9,
    minimum: 0,
    maximum: 0.99,
    description: "Weight of the past in the average of drawn probabilities.",
  }),
});

/** Width of the preferred range of probabilities, logit at its middle, and steepness around it. */
const width = 0.3;
const peak = 5;
const sharpness = 10;

/**
 * As llama.cpp's "adaptive_p": with the average A = W / N of the probabilities of tokens drawn
 * (W = target / (1 - decay), N = 1 / (1 - decay) at first; then W = p + decay W, N = 1 + decay N),
 * a = clamp(2 target - A, 0, 1), d = |p_i - a| / 0.3: l_i = 5 - 10 d^2 / (1 + d), and a draw.
 */
export const adaptiveP: Sampler<typeof options> = {
  name: "adaptive_p",
  letter: "a",
  place: "last",
  options,
  create({ adaptive_target: target, adaptive_decay: decay }, { seed }) {
    return target < 0 ? undefined : new AdaptiveP(target, decay, seed);
  },
};

class AdaptiveP implements SamplerLink {
  readonly #target: number;
  readonly #decay: number;
  readonly #random: Random;
  #weighted: number;
  #total: number;

  constructor(target: number, decay: number, seed: number) {
    this.#target = target;
    this.#decay = decay;
    this.#random = new Random(seed);
    this.#total = 1 / (1 - decay);
    this.#weighted = target * this.#total;
  }

  apply(candidates: Candidates): void {
    const { logits, length } = candidates;
    const original = softmax(candidates).slice(0, length);
    const average = this.#weighted / this.#total;
    const wanted = Math.min(1, Math.max(0, 2 * this.#target - average));
    for (let i = 0; i < length; i++) {
      const d = Math.abs(original[i]! - wanted) / width;
      // What an earlier sampler took out stays out.
      if (original[i]! > 0) logits[i] = peak - (sharpness * d * d) / (1 + d);
    }
    candidates.sorted = false;
    candidates.selected = draw(candidates, this.#random);
    const drawn = original[candidates.selected]!;
    this.#weighted = drawn + this.#decay * this.#weighted;
    this.#total = 1 + this.#decay * this.#total;
  }
}
