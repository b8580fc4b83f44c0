// One sequence being served: its tokens, pages, sampler and clock.
import { WrinkleFreeError } from "../errors.ts";
import type { Constraint } from "../grammar/constraint.ts";
import type { SamplerChain } from "../sampling/chain.ts";
import type { PageNode } from "./pages.ts";
import type { Pooler } from "./pooling.ts";
import type { FinishReason, GenerateRequest, ScoredToken, Timings } from "./protocol.ts";

/** State of a request inside the engine. Plain bookkeeping: the scheduler and engine change it. */
export class Sequence {
  readonly request: GenerateRequest;
  readonly chain: SamplerChain;
  readonly constraint: Constraint | undefined;
  /** Prompt and generated ids. */
  readonly tokens: number[];
  readonly promptLength: number;
  /** Order of arrival; ties of priority go to the older one. */
  readonly order: number;
  readonly arrival: number;
  /** Tokens whose keys and values are in the pages. */
  computed = 0;
  pages: number[] = [];
  /** The prefix tree's node of each page that it knows. */
  nodes: PageNode[] = [];
  /** Prompt tokens that came from the cache when it was admitted first. */
  cachedTokens = 0;
  /** When it was first admitted, when its prompt was done (ms, 0 = not yet). */
  started = 0;
  promptDone = 0;
  /** Scores of prompt tokens so far (promptLogprobs). */
  scores: (ScoredToken | null)[] = [];
  /** Hidden states of the prompt so far (embedding). */
  pooler: Pooler | undefined;
  /** Running share of proposed tokens that were right; decides whether to propose again. */
  draftRate = 0.6;
  draftTokens = 0;
  draftAccepted = 0;
  finished: FinishReason | undefined;
  /** Tokens that the constraint lets come next, once maskNext was called; undefined: all. */
  allowed: Uint32Array | undefined;
  #mask: Uint32Array | undefined;
  /** What went wrong with it before the step that it is part of. */
  problem: unknown;

  constructor(
    request: GenerateRequest,
    chooser: { readonly chain: SamplerChain; readonly constraint?: Constraint },
    order: number,
    now: number,
  ) {
    this.request = request;
    this.chain = chooser.chain;
    this.constraint = chooser.constraint;
    this.tokens = [...request.prompt];
    this.promptLength = request.prompt.length;
    this.order = order;
    this.arrival = now;
  }

  get generated(): number {
    return this.tokens.length - this.promptLength;
  }

  /** Tokens still to be computed before the next one can be sampled. */
  get remaining(): number {
    return this.tokens.length - this.computed;
  }

  /** Whether only the last sampled token is missing: the sequence decodes. */
  get decoding(): boolean {
    return this.generated > 0 && this.remaining === 1;
  }

  /** Whether each row of the prompt is looked at, so that none may come from the cache. */
  get readsPrompt(): boolean {
    const { promptLogprobs, embedding } = this.request;
    return promptLogprobs !== undefined || (embedding !== undefined && embedding !== "last");
  }

  get usesCache(): boolean {
    return this.request.cachePrompt !== false;
  }

  get salt(): string {
    return this.request.cacheSalt ?? "";
  }

  /** Finds out which tokens may come next. Throws `bad_request` where the constraint allows none. */
  maskNext(vocabulary: number): void {
    if (!this.constraint) return;
    this.#mask ??= new Uint32Array(Math.ceil(vocabulary / 32));
    this.allowed = this.constraint.mask(this.#mask) ? this.#mask : undefined;
    if (!this.allowed || this.allowed.some((word) => word !== 0)) return;
    throw new WrinkleFreeError("bad_request", "the constraint allows no token at this place", {
      field: "constraint",
    });
  }

  timings(now: number): Timings {
    const promptEnd = this.promptDone || now;
    return {
      promptTokens: this.promptLength - this.cachedTokens,
      cachedTokens: this.cachedTokens,
      promptMs: this.started ? promptEnd - this.started : 0,
      generatedTokens: this.generated,
      generatedMs: this.promptDone ? now - this.promptDone : 0,
      queueMs: (this.started || now) - this.arrival,
      draftTokens: this.draftTokens,
      draftAccepted: this.draftAccepted,
    };
  }
}
