// The Sampler interface: one link of the sampling chain, with its request options.
import type { Static, TObject } from "@sinclair/typebox";

/**
 * The tokens that may still be drawn, in parallel arrays over 0..length-1. A link may reorder,
 * shrink (`length`), or change `logits`; ids are vocabulary indices.
 */
export interface Candidates {
  ids: Int32Array;
  logits: Float32Array;
  length: number;
  /** Whether logits are in descending order (ties: lower id first). */
  sorted: boolean;
  /** Set by the link that draws the token (distribution, mirostat): an index into `ids`. */
  selected: number;
}

/** What a link may know besides the candidates. */
export interface SamplerContext {
  readonly vocabularySize: number;
  /** Resolved 32-bit seed of this sequence. */
  readonly seed: number;
  /** Prompt and generated ids so far, oldest first. */
  readonly tokens: readonly number[];
  /** How many of `tokens` were the prompt. */
  readonly promptLength: number;
  /** Token ids that end generation. */
  readonly endTokens: ReadonlySet<number>;
  /** Text to token ids without special tokens, for links that take strings (DRY breakers). */
  tokenize?(text: string): number[];
  /** The text of a token. */
  piece?(token: number): string;
}

export interface SamplerLink {
  apply(candidates: Candidates): void;
  /** Told of every token of the sequence, prompt tokens first. */
  accept?(token: number): void;
  /**
   * Set when the link only removes candidates outside the k best logits or keeps their order, so that
   * it is exact on the k largest logits alone: the head then computes no others.
   */
  readonly keeps?: number;
  /** The best candidate of what it leaves is the best of what it was given. */
  readonly monotone?: boolean;
  /** Set when the link only lowers logits, of at most this many candidates. */
  readonly lowers?: number;
}

/** Options are request fields: validated, defaulted and documented from the TypeBox schema. */
export interface Sampler<O extends TObject = TObject> {
  readonly name: string;
  /** llama.cpp's one-letter name in `samplers`, if it has one. */
  readonly letter?: string;
  readonly options: O;
  /**
   * Where it runs when the request's `samplers` does not say: "first" = before all others, always;
   * "last" = at the end, wherever it is named; "named" = only where named. Default: where llama.cpp
   * has it, or before the temperature.
   */
  readonly place?: "first" | "last" | "named";
  /**
   * Set for a sampler that takes the place of the chain: when it has an effect, it runs last, named
   * or not, after those of place "first" and the samplers with these names.
   */
  readonly exclusive?: readonly string[];
  /** Returns undefined when the options leave it without effect. */
  create(options: Static<O>, context: SamplerContext): SamplerLink | undefined;
}
