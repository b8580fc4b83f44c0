// Temperature and dynamic temperature: how far the distribution is sharpened or flattened.
import { Type } from "@sinclair/typebox";
import { argmax, type Candidates, exp, log, type Sampler, softmax } from "../../core/index.ts";

const options = Type.Object({
  temperature: Type.Number({
    default: 0.8,
    description: "Divides the logits; 0 or less always takes the most likely token.",
  }),
  dynatemp_range: Type.Number({
    default: 0,
    minimum: 0,
    description: "The temperature varies by this much around its value with the entropy; 0 = off.",
  }),
  dynatemp_exponent: Type.Number({
    default: 1,
    description: "How the normalized entropy maps to the dynamic temperature.",
  }),
});

/**
 * l_i = l_i / T. T <= 0 keeps the largest logit alone (the first, where several are equal).
 *
 * With range d > 0, T follows the entropy H of the n candidates left (as in llama.cpp's "entropy"
 * sampler): T = T_low + (T_high - T_low) (H / ln n)^exponent, T_low = max(0, T - d), T_high = T + d.
 */
export const temperature: Sampler<typeof options> = {
  name: "temperature",
  letter: "t",
  options,
  create({ temperature, dynatemp_range: range, dynatemp_exponent: exponent }) {
    if (range > 0) {
      const low = Math.max(0, temperature - range);
      const high = temperature + range;
      return { apply: (candidates) => dynamic(candidates, low, high, exponent), monotone: true };
    }
    if (temperature <= 0) return { apply: greedy, keeps: 1, monotone: true };
    return {
      apply: (candidates) => divide(candidates, temperature),
      keeps: Infinity,
      monotone: true,
    };
  },
};

function greedy(candidates: Candidates): void {
  const best = argmax(candidates);
  candidates.ids[0] = candidates.ids[best]!;
  candidates.logits[0] = candidates.logits[best]!;
  candidates.length = 1;
}

const largestFloat = 3e38;

function divide(candidates: Candidates, temperature: number): void {
  if (temperature === 1) return;
  const { logits, length } = candidates;
  const most = logits[argmax(candidates)]!;
  // Past float32's range the largest logit would be lost among infinities: it becomes 0 there.
  const shift = Math.abs(most / temperature) < largestFloat ? 0 : most;
  for (let i = 0; i < length; i++) logits[i] = (logits[i]! - shift) / temperature;
}

function dynamic(candidates: Candidates, low: number, high: number, exponent: number): void {
  const { length } = candidates;
  if (length <= 1) return;
  const p = softmax(candidates);
  let entropy = 0;
  for (let i = 0; i < length; i++) if (p[i]! > 0) entropy -= p[i]! * log(p[i]!);
  const share = Math.min(1, entropy / log(length));
  const raised = share > 0 ? exp(exponent * log(share)) : exponent === 0 ? 1 : 0;
  const temperature = low + (high - low) * raised;
  if (temperature > 0) divide(candidates, temperature);
  else greedy(candidates);
}
