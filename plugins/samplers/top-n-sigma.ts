// Top-n-sigma: only logits within n standard deviations of the largest may be drawn.
import { Type } from "@sinclair/typebox";
import { argmax, type Candidates, type Sampler } from "../../core/index.ts";

const options = Type.Object({
  top_n_sigma: Type.Number({
    default: -1,
    description: "Keep logits of at least max - n standard deviations; 0 or less = off.",
  }),
});

/**
 * l_i = -Infinity where l_i < max - n * sigma, sigma the population standard deviation of the finite
 * logits of the candidates (Tang et al., 2024). As in llama.cpp they stay candidates, of probability 0.
 */
export const topNSigma: Sampler<typeof options> = {
  name: "top_n_sigma",
  letter: "s",
  options,
  create({ top_n_sigma: n }) {
    if (n <= 0) return undefined;
    return { apply: (candidates) => truncate(candidates, n), monotone: true };
  },
};

function truncate(candidates: Candidates, n: number): void {
  const { logits, length } = candidates;
  if (length <= 1) return;
  let count = 0;
  let sum = 0;
  for (let i = 0; i < length; i++) {
    if (!Number.isFinite(logits[i])) continue;
    sum += logits[i]!;
    count++;
  }
  const mean = sum / count;
  let squares = 0;
  for (let i = 0; i < length; i++) {
    if (Number.isFinite(logits[i])) squares += (logits[i]! - mean) ** 2;
  }
  if (count === 0) return;
  const least = logits[argmax(candidates)]! - n * Math.sqrt(squares / count);
  for (let i = 0; i < length; i++) if (logits[i]! < least) logits[i] = -Infinity;
}
