// Infill: for filling the middle of a text, drops unsure continuations in favour of the end.
import { Type } from "@sinclair/typebox";
import {
  type Candidates,
  keepLargest,
  retain,
  type Sampler,
  type SamplerContext,
  softmax,
} from "../../core/index.ts";

const options = Type.Object({});

/** Candidates compared with each other; those after are far below the thresholds. */
const compared = 1024;
const threshold = 0.2;

/**
 * As llama.cpp's "infill", only where `samplers` names it, after top-k and top-p. With the end
 * tokens' probability E and the others' T among n candidates: 3 E n > T keeps the end tokens alone.
 * Else a token whose text begins another's is merged with it (into the likelier), then tokens of
 * p < 0.2 are dropped, then those of renormalized p < 1 / (count + 1); end tokens stay.
 */
export const infill: Sampler<typeof options> = {
  name: "infill",
  letter: "i",
  place: "named",
  options,
  create(_, context) {
    return { apply: (candidates) => apply(candidates, context) };
  },
};

function apply(candidates: Candidates, context: SamplerContext): void {
  keepLargest(candidates, compared);
  const { ids, length } = candidates;
  const p = softmax(candidates).slice(0, length);
  const isEnd = (index: number) => context.endTokens.has(ids[index]!);
  let ends = 0;
  for (let i = 0; i < length; i++) if (isEnd(i)) ends += p[i]!;
  if (3 * ends * length > 1 - ends) {
    retain(candidates, isEnd);
    return;
  }
  merge(candidates, p, context);
  const texts = filter(candidates, p, threshold, isEnd);
  if (texts === 0) {
    endNow(candidates, context);
    return;
  }
  const sum = p.subarray(0, candidates.length).reduce((a, b) => a + b, 0);
  filter(candidates, p, sum / (texts + 1), isEnd);
}

/** Adds the probabilities of tokens of which one begins the other; the loser's becomes zero. */
function merge({ ids, length }: Candidates, p: Float64Array, context: SamplerContext): void {
  const pieces = Array.from({ length }, (_, i) => context.piece?.(ids[i]!) ?? "");
  const mergeable = (i: number) => p[i]! > 0 && pieces[i] !== "" && !pieces[i]!.includes("\ufffd");
  for (let a = 0; a < length; a++) {
    for (let b = 0; b < length && mergeable(a); b++) {
      if (a === b || !mergeable(b) || !pieces[b]!.startsWith(pieces[a]!)) continue;
      const [to, from] = p[b]! > p[a]! ? [b, a] : [a, b];
      p[to]! += p[from]!;
      p[from] = 0;
    }
  }
}

/** Drops what is less likely than `least` and no end token; returns how many others are left. */
function filter(
  candidates: Candidates,
  p: Float64Array,
  least: number,
  isEnd: (index: number) => boolean,
): number {
  let kept = 0;
  let texts = 0;
  const keep = Array.from({ length: candidates.length }, (_, i) => isEnd(i) || p[i]! >= least);
  for (const [i, stays] of keep.entries()) {
    if (!stays) continue;
    if (!isEnd(i)) texts++;
    p[kept++] = p[i]!;
  }
  retain(candidates, (index) => keep[index]!);
  return texts;
}

function endNow(candidates: Candidates, { endTokens }: SamplerContext): void {
  const end = endTokens.values().next().value;
  if (end === undefined) return;
  candidates.ids[0] = end;
  candidates.logits[0] = 1;
  candidates.length = 1;
}
