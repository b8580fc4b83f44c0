// The sampling chain of one sequence: its links in order, the draw, and what it needs of the head.
import type { ScoredToken, TokenLogprob } from "../engine/protocol.ts";
import { WrinkleFreeError } from "../errors.ts";
import type { Candidates, Sampler, SamplerContext, SamplerLink } from "../plugin/sampler.ts";
import { keepLargest, maximumVocabulary, softmax } from "./candidates.ts";
import { exp, log } from "./math.ts";
import { optionsOf, orderSamplers } from "./options.ts";
import { Random } from "./random.ts";

/** What a chain knows of its sequence; `tokens` is the prompt. */
export type ChainContext = Omit<SamplerContext, "promptLength">;

/**
 * Builds the chain that a request asks for: `options` are its sampling fields, `samplers` among
 * them. The prompt's tokens are accepted. Throws `bad_request` naming the wrong field.
 */
export function createSamplerChain(
  samplers: readonly Sampler[],
  options: Readonly<Record<string, unknown>>,
  context: ChainContext,
): SamplerChain {
  if (context.vocabularySize > maximumVocabulary) {
    throw new WrinkleFreeError(
      "unsupported",
      `a vocabulary of ${context.vocabularySize} tokens; at most ${maximumVocabulary} are supported`,
    );
  }
  const tokens = [...context.tokens];
  const full: SamplerContext = { ...context, tokens, promptLength: tokens.length };
  const make = (sampler: Sampler) => sampler.create(optionsOf(sampler, options), full);
  let ordered = orderSamplers(samplers, options.samplers);
  for (const sampler of samplers) {
    const rest = sampler.exclusive;
    if (rest === undefined || make(sampler) === undefined) continue;
    ordered = ordered.filter((s) => s.place === "first" || rest.includes(s.name));
    ordered.push(sampler);
    break;
  }
  const links = ordered.map(make).filter((link) => link !== undefined);
  return new SamplerChain(links, tokens, full);
}

/** One sequence's chain. Not to be shared: links carry state, and draws advance its numbers. */
export class SamplerChain {
  readonly #links: readonly SamplerLink[];
  readonly #tokens: number[];
  readonly #vocabulary: number;
  readonly #random: Random;
  readonly #candidates: Candidates;

  constructor(links: readonly SamplerLink[], tokens: number[], context: SamplerContext) {
    this.#links = links;
    this.#tokens = tokens;
    this.#vocabulary = context.vocabularySize;
    this.#random = new Random(context.seed);
    this.#candidates = {
      ids: new Int32Array(0),
      logits: new Float32Array(0),
      length: 0,
      sorted: false,
      selected: -1,
    };
    for (const link of links) for (const token of tokens) link.accept?.(token);
  }

  /**
   * How many of the largest logits the next draw needs (1 for greedy), or "all". Changes from token
   * to token: penalties need more room as they touch more tokens.
   */
  neededLogits(): number | "all" {
    let needed = Infinity;
    for (let i = this.#links.length - 1; i >= 0; i--) {
      const link = this.#links[i]!;
      if (link.keeps !== undefined) needed = Math.min(needed, link.keeps);
      else if (link.lowers !== undefined) needed += link.lowers;
      else if (!(needed === 1 && link.monotone)) needed = Infinity;
    }
    return needed < this.#vocabulary ? needed : "all";
  }

  /**
   * Draws a token from all logits (index = id; longer than the vocabulary: the rest is ignored).
   * With `mask`, only tokens whose bit is set (bit i & 31 of word i >> 5). The logits are not changed.
   */
  sample(logits: Float32Array, mask?: Uint32Array): number {
    const length = Math.min(logits.length, this.#vocabulary);
    const candidates = this.#reserve(length);
    if (mask === undefined) {
      candidates.ids.set(identity(length));
      candidates.logits.set(length === logits.length ? logits : logits.subarray(0, length));
      candidates.length = length;
    } else {
      fillMasked(candidates, logits, length, mask);
    }
    return this.#draw();
  }

  /** Draws from the `length` largest logits, in any order; see neededLogits. */
  sampleFrom(ids: Int32Array, logits: Float32Array, length: number = ids.length): number {
    const candidates = this.#reserve(length);
    for (let i = 0; i < length; i++) {
      candidates.ids[i] = ids[i]!;
      candidates.logits[i] = logits[i]!;
    }
    candidates.length = length;
    return this.#draw();
  }

  /** Tells the links of the token that the sequence goes on with. */
  accept(token: number): void {
    this.#tokens.push(token);
    for (const link of this.#links) link.accept?.(token);
  }

  /**
   * The last draw's candidates by falling probability: at most `count`, without those of
   * probability zero; logprob = ln p.
   */
  probabilities(count: number): TokenLogprob[] {
    const candidates = this.#candidates;
    keepLargest(candidates, candidates.length);
    const p = softmax(candidates);
    const top: TokenLogprob[] = [];
    for (let i = 0; i < candidates.length && top.length < count && p[i]! > 0; i++) {
      top.push({ token: candidates.ids[i]!, logprob: log(p[i]!) });
    }
    return top;
  }

  #reserve(length: number): Candidates {
    const candidates = this.#candidates;
    if (candidates.ids.length < length) {
      candidates.ids = new Int32Array(length);
      candidates.logits = new Float32Array(length);
    }
    candidates.sorted = false;
    candidates.selected = -1;
    return candidates;
  }

  #draw(): number {
    const candidates = this.#candidates;
    for (let i = 0; i < candidates.length; i++) {
      if (Number.isNaN(candidates.logits[i])) candidates.logits[i] = -Infinity;
    }
    for (const link of this.#links) link.apply(candidates);
    if (candidates.length === 0) {
      throw new WrinkleFreeError("plugin", "the samplers left no token to draw");
    }
    if (candidates.selected < 0) candidates.selected = draw(candidates, this.#random);
    if (candidates.logits[candidates.selected] === -Infinity) throw nothingLeft();
    return candidates.ids[candidates.selected]!;
  }
}

function nothingLeft(): WrinkleFreeError {
  const text = "no token is left to draw: logit_bias and the samplers forbid every one";
  return new WrinkleFreeError("bad_request", text, { field: "logit_bias" });
}

/**
 * Draws an index in proportion to the softmax: the first whose running sum reaches r times the
 * whole, in the candidates' order, r uniform in [0, 1). One draw even for a single candidate.
 */
export function draw(candidates: Candidates, random: Random): number {
  const r = random.double();
  if (candidates.length === 1) return 0;
  const p = softmax(candidates);
  let sum = 0;
  for (let i = 0; i < candidates.length; i++) sum += p[i]!;
  let running = 0;
  let last = 0;
  for (let i = 0; i < candidates.length; i++) {
    if (!(p[i]! > 0)) continue;
    last = i;
    running += p[i]!;
    if (running >= r * sum) break;
  }
  return last;
}

/**
 * ln softmax of `token` and of the `count` largest, over the raw logits (before any sampler), in
 * float64 and in the order of ids.
 */
export function logprobs(logits: Float32Array, token: number, count: number): ScoredToken {
  let max = -Infinity;
  for (let i = 0; i < logits.length; i++) if (logits[i]! > max) max = logits[i]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    const weight = exp(logits[i]! - max);
    if (weight > 0) sum += weight;
  }
  const norm = max + log(sum);
  const top = count > 0 ? largest(logits, count) : [];
  return {
    token,
    logprob: logits[token]! - norm,
    top: top.map((id) => ({ token: id, logprob: logits[id]! - norm })),
  };
}

function largest(logits: Float32Array, count: number): number[] {
  const length = logits.length;
  const candidates: Candidates = {
    ids: identity(length).slice(),
    logits: logits.slice(),
    length,
    sorted: false,
    selected: -1,
  };
  keepLargest(candidates, Math.min(count, length));
  return [...candidates.ids.subarray(0, candidates.length)];
}

let ascending = new Int32Array(0);

/** The ids 0..length-1; shared, not to be written. */
function identity(length: number): Int32Array {
  if (ascending.length < length) ascending = Int32Array.from({ length }, (_, id) => id);
  return ascending.length === length ? ascending : ascending.subarray(0, length);
}

function fillMasked(
  candidates: Candidates,
  logits: Float32Array,
  length: number,
  mask: Uint32Array,
): void {
  let count = 0;
  for (let word = 0; word << 5 < length; word++) {
    let bits = mask[word]!;
    while (bits !== 0) {
      const bit = 31 - Math.clz32(bits & -bits);
      bits &= bits - 1;
      const id = (word << 5) + bit;
      if (id >= length) break;
      candidates.ids[count] = id;
      candidates.logits[count++] = logits[id]!;
    }
  }
  candidates.length = count;
}
