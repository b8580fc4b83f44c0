// Draws a sequence's next token from its logits, all or only the largest ones of them.
import { WrinkleFreeError } from "../errors.ts";
import { logprobs, type SamplerChain } from "../sampling/chain.ts";
import type { ScoredToken } from "./protocol.ts";
import type { StepRunner } from "./runner.ts";
import type { Sequence } from "./sequence.ts";
import type { Work } from "./work.ts";

/** How many of each row's logits a step must give: as many as its most demanding sequence needs. */
export function neededLogits(work: readonly Work[], limit: number): number | "all" {
  let most = 1;
  for (const { sequence, draft } of work) {
    const { request, chain, constraint } = sequence;
    if (request.embedding !== undefined) continue;
    if (request.logprobs !== undefined) return "all";
    // What may follow a proposal is not known before it is taken.
    if (constraint && draft.length > 0) return "all";
    if (request.promptLogprobs !== undefined && !sequence.promptDone) return "all";
    const needed = chain.neededLogits();
    if (needed === "all") return "all";
    // Accepted proposals may widen what later rows of this step need (penalties).
    most = Math.max(most, needed + (needed > 1 ? draft.length : 0));
  }
  return most <= limit ? most : "all";
}

/**
 * Draws the token after the i-th wanted row of the last step, which gave `top` logits a row. Throws
 * `internal` where the logits are not finite, `bad_request` where the constraint allows no token.
 */
export function drawToken(
  sequence: Sequence,
  runner: StepRunner,
  row: number,
  top: number | "all",
): { readonly token: number; readonly score?: ScoredToken } {
  const { request, chain, problem } = sequence;
  if (problem !== undefined) throw problem;
  if (top !== "all") {
    const { ids, logits } = runner.largest(row);
    if (!Number.isFinite(logits[0])) throw notFinite();
    const count = sequence.allowed === undefined ? top : Math.min(top, bitsOf(sequence.allowed));
    return { token: chain.sampleFrom(new Int32Array(ids), logits, count) };
  }
  const logits = runner.logits(row);
  sequence.maskNext(runner.vocabulary);
  const token = sampleAll(chain, logits, sequence.allowed);
  if (!Number.isFinite(logits[token])) throw notFinite();
  return request.logprobs === undefined
    ? { token }
    : { token, score: score(sequence, logits, token) };
}

/** Draws from all logits. What is wrong with them is told before what the samplers make of it. */
function sampleAll(chain: SamplerChain, logits: Float32Array, allowed?: Uint32Array): number {
  try {
    return chain.sample(logits, allowed);
  } catch (error) {
    throw logits.some(Number.isFinite) ? error : notFinite();
  }
}

function bitsOf(mask: Uint32Array): number {
  let count = 0;
  for (let word of mask) {
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    count += (((word + (word >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
  }
  return count;
}

function score(sequence: Sequence, logits: Float32Array, token: number): ScoredToken {
  const { request, chain } = sequence;
  const count = request.logprobs ?? 0;
  if (!request.postSamplingProbabilities) return logprobs(logits, token, count);
  const top = chain.probabilities(count);
  const own = top.find((other) => other.token === token);
  return { token, logprob: own?.logprob ?? 0, top };
}

function notFinite(): WrinkleFreeError {
  return new WrinkleFreeError("internal", "the model's logits are not finite numbers");
}
