// Mirostat 1 and 2: truncation that holds the text's surprise at a target; takes the chain's place.
import { Type } from "@sinclair/typebox";
import {
  type Candidates,
  draw,
  exp,
  keepLargest,
  log,
  Random,
  type Sampler,
  type SamplerLink,
  softmax,
  sortCandidates,
} from "../../core/index.ts";

const options = Type.Object({
  mirostat: Type.Union([Type.Literal(0), Type.Literal(1), Type.Literal(2)], {
    default: 0,
    description: "0 = off, 1 = Mirostat, 2 = Mirostat 2.0; takes the place of other truncation.",
  }),
  mirostat_tau: Type.Number({ default: 5, minimum: 0, description: "Target surprise, in bits." }),
  mirostat_eta: Type.Number({ default: 0.1, minimum: 0, description: "Learning rate." }),
});

/** Tokens from which Mirostat 1 estimates the exponent of Zipf's law. */
const estimated = 100;

/**
 * Basu et al., 2021. mu starts at 2 tau; after a draw with probability p, mu -= eta (-log2 p - tau).
 *
 * Version 1: t_i = ln((i + 2) / (i + 1)), b_i = ln(p_i / p_(i+1)) over the 100 best;
 * s = sum t b / sum t^2, e = s - 1, k = ((e 2^mu) / (1 - N^-e))^(1/s); then top-k and a draw.
 * Version 2: drops candidates with -log2 p > mu, but the best, then draws.
 */
export const mirostat: Sampler<typeof options> = {
  name: "mirostat",
  exclusive: ["temperature"],
  options,
  create({ mirostat: version, mirostat_tau: tau, mirostat_eta: eta }, context) {
    if (version === 0) return undefined;
    const { seed, vocabularySize } = context;
    return new Mirostat(version === 1 ? vocabularySize : undefined, tau, eta, seed);
  },
};

class Mirostat implements SamplerLink {
  readonly monotone = true;
  readonly #vocabulary: number | undefined;
  readonly #tau: number;
  readonly #eta: number;
  readonly #random: Random;
  #mu: number;

  /** @param vocabulary its size for version 1, undefined for version 2 */
  constructor(vocabulary: number | undefined, tau: number, eta: number, seed: number) {
    this.#vocabulary = vocabulary;
    this.#tau = tau;
    this.#eta = eta;
    this.#random = new Random(seed);
    this.#mu = 2 * tau;
  }

  apply(candidates: Candidates): void {
    sortCandidates(candidates);
    const p = softmax(candidates);
    let kept = 1;
    if (this.#vocabulary === undefined) {
      while (kept < candidates.length && bits(p[kept]!) <= this.#mu) kept++;
    } else {
      kept = zipfCount(p, candidates.length, this.#mu, this.#vocabulary);
    }
    keepLargest(candidates, kept);
    candidates.selected = draw(candidates, this.#random);
    const drawn = softmax(candidates)[candidates.selected]!;
    this.#mu -= this.#eta * (bits(drawn) - this.#tau);
  }
}

function bits(p: number): number {
  return -log(p) / Math.LN2;
}

function zipfCount(p: Float64Array, length: number, mu: number, vocabulary: number): number {
  let tb = 0;
  let tt = 0;
  for (let i = 0; i < Math.min(estimated, length) - 1; i++) {
    if (!(p[i + 1]! > 0)) break;
    const t = log((i + 2) / (i + 1));
    tb += t * log(p[i]! / p[i + 1]!);
    tt += t * t;
  }
  const s = tb / tt;
  const e = s - 1;
  const power = (base: number, exponent: number) => exp(exponent * log(base));
  const k = power((e * power(2, mu)) / (1 - power(vocabulary, -e)), 1 / s);
  return Number.isNaN(k) ? length : Math.max(1, Math.min(length, Math.floor(k)));
}
