// Draws a sequence's next token from its logits, all or only the largest ones of them.
import { WrinkleFreeError } from "../errors.ts";
import type { Constraint } from "../grammar/constraint.ts";
import { logprobs } from "../sampling/chain.ts";
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
    if (request.logprobs !== undefined || constraint) return "all";
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
  const { request, chain, constraint } = sequence;
  if (top !== "all") {
    const { ids, logits } = runner.largest(row);
    if (!Number.isFinite(logits[0])) throw notFinite();
    return { token: chain.sampleFrom(new Int32Array(ids), logits) };
  }
  const logits = runner.logits(row);
  const token = chain.sample(logits, constraint && allowedTokens(constraint, runner.vocabulary));
  if (!Number.isFinite(logits[token])) throw notFinite();
  return request.logprobs === undefined
    ? { token }
    : { token, score: score(sequence, logits, token) };
}

let mask = new Uint32Array(0);

/** The tokens that the constraint allows now; undefined where all are. */
function allowedTokens(constraint: Constraint, vocabulary: number): Uint32Array | undefined {
  const words = Math.ceil(vocabulary / 32);
  if (mask.length !== words) mask = new Uint32Array(words);
  if (!constraint.mask(mask)) return undefined;
  if (mask.some((word) => word !== 0)) return mask;
  throw new WrinkleFreeError("bad_request", "the constraint allows no token at this place", {
    field: "constraint",
  });
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
