// What goes between a client of the engine and the engine: requests in, events out. Plain data only.
import type { ErrorCode } from "../errors.ts";
import type { ExpertUse } from "../plugin/routing.ts";

/** What the generated text must match; see core/grammar. */
export interface ConstraintSource {
  readonly kind: "gbnf" | "json_schema" | "regex" | "choice" | "tool_calls";
  /** The grammar, the schema or list of choices or of functions as JSON, the expression. */
  readonly source: string;
  /** Acts only from the first of these texts on (tool calls). */
  readonly lazy?: { readonly triggers: readonly string[] };
}

/** Which hidden states (after the final norm) stand for a text: all, their mean, first or last. */
export type Pooling = "none" | "mean" | "cls" | "last";

/** One sequence to generate. */
export interface GenerateRequest {
  /** Unique among the engine's live requests. */
  readonly id: string;
  /** Prompt token ids, at least one. */
  readonly prompt: readonly number[];
  /** Tokens to generate at most; 0 only evaluates the prompt. */
  readonly maxTokens: number;
  /** The samplers' options, validated against their schemas, with `samplers` (their order). */
  readonly sampling: Readonly<Record<string, unknown>>;
  /** 32-bit seed; undefined: random. */
  readonly seed?: number;
  /** Token ids that end generation (reason "stop"); the end token itself is reported. */
  readonly endTokens: readonly number[];
  /** Log-probabilities of the k most likely tokens with each generated token; 0 = only the token's own. */
  readonly logprobs?: number;
  /** Same for the prompt's tokens (echo); disables reading the prefix cache. */
  readonly promptLogprobs?: number;
  /** Report probabilities after the sampling chain instead of the raw softmax. */
  readonly postSamplingProbabilities?: boolean;
  /** Whether cached prefixes may be used and kept. Default true. */
  readonly cachePrompt?: boolean;
  /** Sequences with different salts never share cached pages. */
  readonly cacheSalt?: string;
  /** Answers with the prompt's pooled hidden states; only with maxTokens 0. */
  readonly embedding?: Pooling;
  readonly constraint?: ConstraintSource;
  /** Lower runs earlier; default 0. */
  readonly priority?: number;
  /** Milliseconds from arrival to the end; then it ends with reason "timeout". */
  readonly timeoutMs?: number;
}

export interface TokenLogprob {
  readonly token: number;
  readonly logprob: number;
}

export interface ScoredToken extends TokenLogprob {
  readonly top: readonly TokenLogprob[];
}

export interface Timings {
  /** Prompt tokens computed, and those taken from the prefix cache. */
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly promptMs: number;
  readonly generatedTokens: number;
  readonly generatedMs: number;
  readonly queueMs: number;
  readonly draftTokens?: number;
  readonly draftAccepted?: number;
}

export type FinishReason = "stop" | "length" | "cancelled" | "timeout";

export type EngineEvent =
  | {
      readonly type: "prompt";
      readonly id: string;
      readonly processed: number;
      readonly total: number;
      readonly cached: number;
      readonly scores?: readonly (ScoredToken | null)[];
    }
  | {
      readonly type: "token";
      readonly id: string;
      readonly token: number;
      readonly score?: ScoredToken;
    }
  | {
      readonly type: "embedding";
      readonly id: string;
      /** One vector, or with pooling "none" one for each token: float32 [hidden], not normalized. */
      readonly vectors: readonly Float32Array[];
    }
  | {
      readonly type: "done";
      readonly id: string;
      readonly reason: FinishReason;
      readonly timings: Timings;
    }
  | {
      readonly type: "error";
      readonly id: string;
      readonly code: ErrorCode;
      readonly message: string;
    };

/** Facts about the loaded model that the HTTP side shows. */
export interface ModelInfo {
  readonly path: string;
  readonly name: string;
  readonly architecture: string;
  readonly parameters: number;
  readonly bytes: number;
  readonly contextLength: number;
  readonly trainedContextLength: number;
  readonly vocabulary: number;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly experts: number;
  readonly quantization: string;
  readonly isa: string;
  readonly layout: string;
  readonly threads: number;
  /** The pooling that the file names for embeddings. */
  readonly pooling?: Pooling;
}

/** Counters and gauges of the engine, for /metrics and /slots. */
export interface EngineStats {
  readonly queued: number;
  readonly running: number;
  readonly pagesTotal: number;
  readonly pagesFree: number;
  readonly pagesCached: number;
  readonly steps: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  readonly preemptions: number;
  readonly promptMs: number;
  readonly generatedMs: number;
  readonly sequences: readonly SequenceStats[];
  /** What experts got since the start, layer by layer; empty for a dense model. */
  readonly experts: readonly ExpertUse[];
}

/** One live sequence, for /slots. */
export interface SequenceStats {
  readonly id: string;
  readonly state: "waiting" | "prefill" | "decode";
  readonly promptTokens: number;
  readonly computed: number;
  readonly cached: number;
  readonly generated: number;
}

/** How the HTTP side drives an engine, in a Worker or not. */
export interface EngineClient {
  readonly info: ModelInfo;
  /** False while a lost engine is started again; requests wait for it. */
  readonly available: boolean;
  /**
   * Starts a request and yields its events, ending after "done". Throws WrinkleFreeError:
   * context_exceeded, overloaded, bad_request. Leaving the loop, or aborting, cancels it.
   */
  generate(
    request: Omit<GenerateRequest, "id">,
    options?: { signal?: AbortSignal },
  ): AsyncIterableIterator<EngineEvent>;
  /**
   * The pooled hidden states of a prompt: one vector float32 [hidden], not normalized, or with
   * "none" one for each token. The same bits whatever runs beside it. Throws as `generate` does.
   */
  embed(
    tokens: readonly number[],
    options: { pooling: Pooling; cacheSalt?: string; signal?: AbortSignal },
  ): Promise<Float32Array[]>;
  stats(): Promise<EngineStats>;
  /** Forgets cached prefixes that nobody uses; returns the pages freed. */
  clearCache(): Promise<number>;
  /**
   * Writes the cached keys and values of the longest known prefix of `tokens` to a file (temporary
   * name, then renamed). Nothing is written where none is known.
   */
  saveCache(tokens: readonly number[], path: string): Promise<{ tokens: number; bytes: number }>;
  /** Reads such a file back into the cache; returns its tokens. Throws `not_found`, `bad_file`. */
  restoreCache(path: string): Promise<number[]>;
  close(): Promise<void>;
}
