// What a generation is asked for and what comes of it: plain types that every dialect shares.
import type { GenerateRequest, ScoredToken, Timings } from "../../core/index.ts";

/** One sequence to generate, in terms that every dialect shares. */
export interface Generation {
  readonly prompt: readonly number[];
  /** Undefined: until the context is full. */
  readonly maxTokens?: number;
  readonly sampling: Readonly<Record<string, unknown>>;
  readonly seed?: number;
  /** Strings that end the text; they are not part of it. */
  readonly stop?: readonly string[];
  /** Token ids that end it besides the model's own. */
  readonly stopTokens?: readonly number[];
  readonly ignoreEndTokens?: boolean;
  /** Log-probabilities of that many alternatives with each token; undefined: none at all. */
  readonly logprobs?: number;
  readonly promptLogprobs?: number;
  readonly postSamplingProbabilities?: boolean;
  readonly constraint?: GenerateRequest["constraint"];
  /** llama.cpp's number of the place where it should run; any, when that is taken. */
  readonly slot?: number;
  readonly cachePrompt?: boolean;
  readonly cacheSalt?: string;
  readonly priority?: number;
  readonly timeoutMs?: number;
  /** Keep special tokens in the text. */
  readonly special?: boolean;
  /** Keep the stop string that was found in the text. */
  readonly includeStop?: boolean;
}

export interface GeneratedToken {
  readonly token: number;
  readonly score?: ScoredToken;
  /** UTF-8 bytes of text before it. */
  readonly start: number;
  /** Whether it ended the generation and has no text. */
  readonly end: boolean;
}

/** llama.cpp's names: an end token, the limit, a stop string. */
export type StopType = "eos" | "limit" | "word";

export interface Completion {
  readonly text: string;
  readonly tokens: readonly GeneratedToken[];
  /** Tokens that have text in `text`: without the end token and a stop string's tokens. */
  readonly textTokens: readonly GeneratedToken[];
  readonly stopType: StopType;
  readonly stoppingWord: string;
  readonly stoppingToken?: number;
  /** Whether the context ended it before maxTokens did. */
  readonly truncated: boolean;
  readonly promptTokens: number;
  readonly promptScores?: readonly (ScoredToken | null)[];
  readonly timings: Timings;
  /** llama.cpp's number of the place where it ran. */
  readonly slot: number;
}

export type GenerationEvent =
  | {
      readonly type: "prompt";
      readonly processed: number;
      readonly total: number;
      readonly cached: number;
      readonly scores?: readonly (ScoredToken | null)[];
    }
  | {
      readonly type: "text";
      readonly text: string;
      readonly tokens: readonly GeneratedToken[];
      /** So far. */
      readonly timings: Timings;
      readonly slot: number;
    }
  | { readonly type: "done"; readonly completion: Completion };

/** OpenAI's finish_reason of how a generation ended. */
export function finishReason(completion: Completion): "stop" | "length" {
  return completion.stopType === "limit" ? "length" : "stop";
}

/** Sum of the generated tokens' log-probabilities over their number, for best_of. */
export function meanLogprob(completion: Completion): number {
  const scores = completion.tokens.map((token) => token.score?.logprob ?? 0);
  return scores.reduce((sum, value) => sum + value, 0) / Math.max(1, scores.length);
}

/** The generations of `n` choices of one prompt: each has its own seed when one is given. */
export function choices(generation: Generation, n: number): Generation[] {
  return Array.from({ length: n }, (_, i) => ({
    ...generation,
    seed: generation.seed === undefined ? undefined : (generation.seed + i) >>> 0,
  }));
}
