// From token ids to text: runs requests on the engine and yields text, tokens and how they ended.
import {
  type EngineEvent,
  type GenerateRequest,
  type ScoredToken,
  TextStream,
  type Timings,
  WrinkleFreeError,
} from "../../core/index.ts";
import type {
  Completion,
  GeneratedToken,
  Generation,
  GenerationEvent,
  StopType,
} from "./completion.ts";
import type { ServedModel } from "./model.ts";
import type { Observation } from "./observe.ts";

/**
 * Runs one generation. Yields prompt progress, then text as it becomes safe to send with the tokens
 * that it came from, then one "done". Throws what the engine throws; aborting or leaving cancels it.
 */
export async function* generate(
  model: ServedModel,
  generation: Generation,
  signal: AbortSignal,
): AsyncGenerator<GenerationEvent, void, undefined> {
  const observation = model.observer?.begin(model.id, generation);
  const run = new Run(model, generation, observation);
  try {
    for await (const event of model.client.generate(engineRequest(model, generation), { signal })) {
      yield* run.take(event);
      if (run.finished) return;
    }
  } finally {
    observation?.end();
  }
  signal.throwIfAborted();
  throw new WrinkleFreeError("cancelled", "the request was cancelled");
}

function engineRequest(model: ServedModel, generation: Generation): Omit<GenerateRequest, "id"> {
  const { stopTokens = [], ignoreEndTokens = false } = generation;
  const context = model.client.info.contextLength;
  return {
    prompt: generation.prompt,
    maxTokens: Math.min(generation.maxTokens ?? context, context),
    sampling: generation.sampling,
    seed: generation.seed,
    endTokens: ignoreEndTokens ? stopTokens : [...new Set([...model.endTokens, ...stopTokens])],
    logprobs: generation.logprobs,
    promptLogprobs: generation.promptLogprobs,
    postSamplingProbabilities: generation.postSamplingProbabilities,
    constraint: generation.constraint,
    cachePrompt: generation.cachePrompt,
    cacheSalt: generation.cacheSalt,
    priority: generation.priority,
    timeoutMs: generation.timeoutMs,
  };
}

/** The state of one generation while its events come in. */
class Run {
  finished = false;
  readonly #model: ServedModel;
  readonly #generation: Generation;
  readonly #text: TextStream;
  readonly #observation: Observation | undefined;
  readonly #tokens: GeneratedToken[] = [];
  readonly #start = performance.now();
  #promptDone = 0;
  #cached = 0;
  #sent = "";
  /** Bytes of all tokens so far, of the text already yielded, and tokens already yielded. */
  #bytes = 0;
  #sentBytes = 0;
  #sentTokens = 0;
  #endToken: number | undefined;
  #scores: readonly (ScoredToken | null)[] | undefined;

  constructor(model: ServedModel, generation: Generation, observation: Observation | undefined) {
    this.#model = model;
    this.#observation = observation;
    this.#generation = generation;
    const { stop, special, includeStop } = generation;
    this.#text = new TextStream(model.tokenizer, { stop, special, includeStop });
  }

  get #slot(): number {
    return this.#observation?.slot ?? 0;
  }

  *take(event: EngineEvent): Generator<GenerationEvent, void, undefined> {
    switch (event.type) {
      case "prompt":
        this.#promptDone = performance.now();
        this.#cached = event.cached;
        this.#observation?.prompt(event.processed, event.cached);
        this.#scores = event.scores ?? this.#scores;
        yield event;
        return;
      case "token":
        yield* this.#takeToken(event.token, event.score);
        return;
      case "done":
        if (event.reason === "cancelled") return;
        yield* this.#send(this.#text.finish());
        yield this.#done(event.reason === "stop" ? "eos" : "limit", "", event.timings);
        return;
      case "error":
        throw new WrinkleFreeError(event.code, event.message);
    }
  }

  *#takeToken(
    token: number,
    score: ScoredToken | undefined,
  ): Generator<GenerationEvent, void, undefined> {
    this.#observation?.token();
    const end = this.#ends(token);
    this.#tokens.push({ token, score, start: this.#bytes, end });
    if (end) {
      this.#endToken = token;
      return;
    }
    const hidden = this.#model.tokenizer.isSpecial(token) && !this.#generation.special;
    if (!hidden) this.#bytes += this.#model.tokenizer.bytes(token).length;
    yield* this.#send(this.#text.push(token));
    const stop = this.#text.stopped;
    if (stop !== undefined) yield this.#done("word", stop, this.#ownTimings());
  }

  #ends(token: number): boolean {
    const { ignoreEndTokens, stopTokens } = this.#generation;
    if (stopTokens?.includes(token)) return true;
    return !ignoreEndTokens && this.#model.endTokens.includes(token);
  }

  *#send(text: string): Generator<GenerationEvent, void, undefined> {
    if (text === "") return;
    this.#sent += text;
    this.#sentBytes += Buffer.byteLength(text);
    const first = this.#sentTokens;
    let last = first;
    while (last < this.#tokens.length) {
      const token = this.#tokens[last];
      if (!token || token.end || token.start >= this.#sentBytes) break;
      last++;
    }
    this.#sentTokens = last;
    const tokens = this.#tokens.slice(first, last);
    yield { type: "text", text, tokens, timings: this.#ownTimings(), slot: this.#slot };
  }

  #done(stopType: StopType, stoppingWord: string, timings: Timings): GenerationEvent {
    this.finished = true;
    const { prompt, maxTokens } = this.#generation;
    const textTokens = this.#tokens.filter(
      (token) => !token.end && (stopType !== "word" || token.start < this.#sentBytes),
    );
    const completion: Completion = {
      text: this.#sent,
      tokens: this.#tokens,
      textTokens,
      stopType,
      stoppingWord,
      stoppingToken: this.#endToken,
      truncated: stopType === "limit" && this.#tokens.length < (maxTokens ?? Infinity),
      promptTokens: prompt.length,
      promptScores: this.#scores,
      timings,
      slot: this.#slot,
    };
    this.#observation?.done(completion);
    return { type: "done", completion };
  }

  /** A stop string is found here, not in the engine, which is left before it could tell its times. */
  #ownTimings(): Timings {
    const now = performance.now();
    const promptEnd = this.#promptDone || now;
    return {
      promptTokens: this.#generation.prompt.length - this.#cached,
      cachedTokens: this.#cached,
      promptMs: promptEnd - this.#start,
      generatedTokens: this.#tokens.length,
      generatedMs: now - promptEnd,
      queueMs: 0,
    };
  }
}

/** An event of one of several generations. */
export interface IndexedEvent {
  readonly index: number;
  readonly event: GenerationEvent;
}

/** Generations of one request that run at the same time. */
const concurrent = 16;

/** Runs several generations side by side. The first error ends them all. */
export async function* generateAll(
  model: ServedModel,
  generations: readonly Generation[],
  signal: AbortSignal,
): AsyncGenerator<IndexedEvent, void, undefined> {
  const abort = new AbortController();
  const both = AbortSignal.any([signal, abort.signal]);
  type Step = { index: number; result: IteratorResult<GenerationEvent, void> };
  const iterators = generations.map((generation) => generate(model, generation, both));
  const pending = new Map<number, Promise<Step>>();
  const advance = (index: number): void => {
    const step = iterators[index]?.next().then((result) => ({ index, result }));
    if (step) pending.set(index, step);
  };
  let started = 0;
  while (started < Math.min(concurrent, iterators.length)) advance(started++);
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      pending.delete(index);
      if (!result.done) {
        advance(index);
        yield { index, event: result.value };
      } else if (started < iterators.length) advance(started++);
    }
  } finally {
    abort.abort();
    for (const step of pending.values()) step.catch(() => {});
    // One that waits at a yield, with nobody asking it for more, ends only when it is told to.
    for (const iterator of iterators.slice(0, started)) iterator.return().catch(() => {});
  }
}

/** Runs several generations to their ends. */
export async function completeAll(
  model: ServedModel,
  generations: readonly Generation[],
  signal: AbortSignal,
): Promise<Completion[]> {
  const completions: Completion[] = [];
  for await (const { index, event } of generateAll(model, generations, signal)) {
    if (event.type === "done") completions[index] = event.completion;
  }
  return completions;
}
