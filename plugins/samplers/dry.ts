// DRY ("don't repeat yourself"): lowers tokens that would go on with a sequence seen before.
import { Type } from "@sinclair/typebox";
import {
  type Candidates,
  exp,
  indexOfToken,
  log,
  type Sampler,
  type SamplerContext,
} from "../../core/index.ts";
import { SequenceBreakers } from "./sequence-breakers.ts";

const options = Type.Object({
  dry_multiplier: Type.Number({
    default: 0,
    description: "Strength of the penalty for going on with a repetition; 0 = off.",
  }),
  dry_base: Type.Number({
    default: 1.75,
    description:
      "The penalty grows by this factor with each token of the repetition; below 1 = off.",
  }),
  dry_allowed_length: Type.Integer({
    default: 2,
    minimum: 0,
    description: "Repetitions shorter than this are free.",
  }),
  dry_penalty_last_n: Type.Integer({
    default: 64,
    minimum: -1,
    description: "How many of the last tokens are searched for repetitions; 0 = off, -1 = all.",
  }),
  dry_sequence_breakers: Type.Array(Type.String({ maxLength: 40 }), {
    default: ["\n", ":", '"', "*"],
    maxItems: 64,
    description: "Texts over which no repetition reaches.",
  }),
});

/** Larger powers overflow a float32: ln of its largest value. */
const largestExponent = 88.72;

/**
 * A token that followed an earlier copy of the text's last L >= allowed tokens (L is the longest
 * such copy, within the last n tokens and not across a breaker) loses
 * multiplier * base^(L - allowed). A token that is a breaker itself loses nothing (p-e-w, 2024).
 */
export const dry: Sampler<typeof options> = {
  name: "dry",
  letter: "d",
  options,
  create(o, context) {
    if (o.dry_multiplier === 0 || o.dry_base < 1 || o.dry_penalty_last_n === 0) return undefined;
    const breakers = new SequenceBreakers(o.dry_sequence_breakers, context);
    const exponent = o.dry_base > 1 ? Math.floor(largestExponent / log(o.dry_base)) : Infinity;
    const apply = (candidates: Candidates): void => {
      const repeats = repetitions(context, breakers, o.dry_penalty_last_n, o.dry_allowed_length);
      for (const [token, length] of repeats) {
        const at = indexOfToken(candidates, token);
        if (at < 0 || breakers.isBreaker(token)) continue;
        const power = Math.min(length - o.dry_allowed_length, exponent);
        candidates.logits[at]! -= o.dry_multiplier * exp(power * log(o.dry_base));
        candidates.sorted = false;
      }
    };
    const lastN = o.dry_penalty_last_n;
    return lastN > 0 && o.dry_multiplier > 0 ? { apply, lowers: lastN } : { apply };
  },
};

/** For each token that would go on with a repetition, the length of the longest one. */
function repetitions(
  { tokens }: SamplerContext,
  breakers: SequenceBreakers,
  lastN: number,
  allowed: number,
): Map<number, number> {
  const found = new Map<number, number>();
  const length = lastN < 0 ? tokens.length : Math.min(tokens.length, lastN);
  if (length <= allowed) return found;
  const limit = breakers.distance(tokens, length);
  if (limit < allowed) return found;
  const matches = suffixMatches(tokens, length);
  for (let back = 1; back < length; back++) {
    const repeat = Math.min(matches[back]!, limit);
    if (repeat < allowed) continue;
    const next = tokens[tokens.length - back]!;
    if (repeat > (found.get(next) ?? -1)) found.set(next, repeat);
  }
  return found;
}

/**
 * Entry k: how many of the last tokens equal those that end k before the end, within the last
 * `length` (the Z algorithm on the tokens read backwards).
 */
function suffixMatches(tokens: readonly number[], length: number): Int32Array {
  const matches = new Int32Array(length);
  const at = (back: number) => tokens[tokens.length - 1 - back];
  let left = 0;
  let right = 0;
  for (let k = 1; k < length; k++) {
    let n = k < right ? Math.min(right - k, matches[k - left]!) : 0;
    while (n + k < length && at(n) === at(n + k)) n++;
    matches[k] = n;
    if (k + n > right) {
      left = k;
      right = k + n;
    }
  }
  return matches;
}
