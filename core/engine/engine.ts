// The engine: add requests, cancel them, and step; synchronous, and it knows token ids only.
import { assert, WrinkleFreeError } from "../errors.ts";
import type { Constraint } from "../grammar/constraint.ts";
import { logprobs, type SamplerChain } from "../sampling/chain.ts";
import { checkRequest } from "./check.ts";
import { drawToken, neededLogits } from "./draw.ts";
import { proposeByLookup } from "./lookup.ts";
import { type PageNode, PagePool } from "./pages.ts";
import { Pooler } from "./pooling.ts";
import type {
  EngineEvent,
  EngineStats,
  FinishReason,
  GenerateRequest,
  Pooling,
} from "./protocol.ts";
import type { StepRunner } from "./runner.ts";
import { Scheduler, type SchedulerLimits } from "./scheduler.ts";
import { Sequence } from "./sequence.ts";
import { readSnapshot, type SnapshotKey, writeSnapshot } from "./snapshot.ts";
import { embeds, logitCount, stepSequence, type Work } from "./work.ts";

export interface EngineOptions extends SchedulerLimits {
  /** Requests that may wait; past it `add` throws `overloaded`. */
  readonly queueLimit: number;
  /** Tokens that prompt-lookup speculation proposes at most for a step; 0 = off. */
  readonly maxDraft: number;
}

/** Share of right guesses below which speculation costs more than it brings. */
const worthwhileRate = 0.35;
/** What a passed chance to guess adds to the rate, so that it is tried again some time. */
const patience = 0.01;
/** Weight of the newest guess in the running rate. */
const draftSmoothing = 0.3;

/** What chooses a sequence's tokens. */
export interface TokenChooser {
  readonly chain: SamplerChain;
  readonly constraint?: Constraint;
}

/** Makes the chooser of a request. Throws `bad_request` naming the option. */
export type ChooserFactory = (request: GenerateRequest) => TokenChooser;

export class Engine {
  readonly #runner: StepRunner;
  readonly #options: EngineOptions;
  readonly #createChooser: ChooserFactory;
  readonly #pages: PagePool;
  readonly #scheduler: Scheduler;
  readonly #sequences = new Map<string, Sequence>();
  /** How many logits of each row the last step gave. */
  #top: number | "all" = "all";
  #order = 0;
  #events: EngineEvent[] = [];
  readonly #totals = {
    steps: 0,
    promptTokens: 0,
    cachedTokens: 0,
    generatedTokens: 0,
    promptMs: 0,
    generatedMs: 0,
  };

  constructor(runner: StepRunner, createChooser: ChooserFactory, options: EngineOptions) {
    this.#runner = runner;
    this.#options = options;
    this.#createChooser = createChooser;
    this.#pages = new PagePool(runner.pages, runner.pagePositions);
    this.#scheduler = new Scheduler(this.#pages, options, (to, from) => runner.copyPage(to, from));
  }

  /** Nothing to do until the next `add`. */
  get idle(): boolean {
    return this.#sequences.size === 0 && this.#events.length === 0;
  }

  get stats(): EngineStats {
    const pages = this.#pages.stats;
    return {
      ...this.#totals,
      queued: this.#scheduler.waiting.length,
      running: this.#scheduler.running.length,
      pagesTotal: pages.total,
      pagesFree: pages.free,
      pagesCached: pages.cached,
      preemptions: this.#scheduler.preemptions,
      experts: this.#runner.expertUse(),
      sequences: [...this.#sequences.values()].map((sequence) => ({
        id: sequence.request.id,
        state: this.#scheduler.running.includes(sequence)
          ? sequence.decoding
            ? "decode"
            : "prefill"
          : "waiting",
        promptTokens: sequence.promptLength,
        computed: sequence.computed,
        cached: sequence.cachedTokens,
        generated: sequence.generated,
      })),
    };
  }

  /** Queues a request. Throws context_exceeded, overloaded, bad_request; then nothing was queued. */
  add(request: GenerateRequest): void {
    if (this.#sequences.has(request.id)) {
      throw new WrinkleFreeError("bad_request", `request id ${request.id} is already running`);
    }
    checkRequest(request, this.#runner);
    const waiting = this.#scheduler.waiting.length;
    if (waiting >= this.#options.queueLimit) {
      throw new WrinkleFreeError("overloaded", `${waiting} requests are waiting already`, {
        hint: "Try again later.",
      });
    }
    const chooser = this.#createChooser(request);
    const sequence = new Sequence(request, chooser, this.#order++, performance.now());
    this.#sequences.set(request.id, sequence);
    this.#scheduler.enqueue(sequence);
  }

  /** Ends a request before the next step; its last event is "done" with reason "cancelled". */
  cancel(id: string): void {
    const sequence = this.#sequences.get(id);
    if (sequence) this.#finish(sequence, "cancelled");
  }

  /** Forgets cached prefixes that nobody uses; returns how many pages that freed. */
  clearCache(): number {
    return this.#pages.clear();
  }

  /**
   * Writes the cached pages of the longest known prefix of `tokens` to a file. Returns how many
   * tokens that covers and the file's size; nothing is written for 0 tokens.
   */
  saveCache(tokens: readonly number[], path: string): { tokens: number; bytes: number } {
    const match = this.#pages.match(tokens, tokens.length, "");
    const nodes = match.partial ? [...match.nodes, match.partial] : match.nodes;
    if (nodes.length === 0) return { tokens: 0, bytes: 0 };
    const pages = nodes.map((node) => this.#runner.pageBytes(node.page));
    const kept = tokens.slice(0, match.tokens);
    return { tokens: kept.length, bytes: writeSnapshot(path, this.#snapshotKey, kept, pages) };
  }

  /** Reads saved pages back into the cache. Returns their tokens. Throws `bad_file`, `not_found`. */
  restoreCache(path: string): number[] {
    const taken: PageNode[] = [];
    try {
      return readSnapshot(path, this.#snapshotKey, (tokens, bytes) => {
        const page = this.#pages.allocate();
        if (page === undefined) {
          throw new WrinkleFreeError("overloaded", "no free pages to restore a cache to");
        }
        this.#runner.pageBytes(page).set(bytes);
        const node = this.#pages.publish(page, tokens, taken.at(-1), "");
        if (node.page !== page) this.#pages.release(page);
        taken.push(node);
      });
    } finally {
      for (const node of taken) this.#pages.release(node.page);
    }
  }

  get #snapshotKey(): SnapshotKey {
    return {
      model: this.#runner.fingerprint,
      pagePositions: this.#runner.pagePositions,
      pageBytes: this.#runner.pageBytes(0).length,
    };
  }

  /** Runs one step for every sequence that can move, and returns what happened since the last one. */
  step(): EngineEvent[] {
    const start = performance.now();
    this.#expire(start);
    const work = this.#scheduler.plan(start, (sequence) => this.#propose(sequence));
    // The head computes the first of the wanted rows only: those of embeddings come last.
    work.sort((a, b) => Number(embeds(a)) - Number(embeds(b)));
    for (const sequence of [...this.#scheduler.running]) {
      if (sequence.finished) this.#finish(sequence, sequence.finished);
    }
    if (work.length > 0) {
      this.#top = neededLogits(work, this.#runner.topLimit);
      const headRows = work.reduce((sum, item) => sum + (embeds(item) ? 0 : logitCount(item)), 0);
      const sequences = work.map((item) => stepSequence(item, this.#maskOf(item)));
      this.#runner.run({ sequences, headRows }, this.#top);
      this.#totals.steps++;
      const now = performance.now();
      const decodes = work.filter((item) => item.sequence.decoding).length;
      const prefillRows = work.reduce((sum, item) => sum + item.rows, 0) - decodes;
      this.#scheduler.measured(prefillRows, now - start);
      let logitRow = 0;
      for (const item of work) {
        const rows = logitCount(item);
        this.#tryAdvance(item, logitRow, now);
        logitRow += rows;
      }
      if (prefillRows > 0) this.#totals.promptMs += now - start;
      else this.#totals.generatedMs += now - start;
    }
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** What the largest logits of a sequence are taken from; undefined: all. */
  #maskOf(item: Work): Uint32Array | undefined {
    const { sequence } = item;
    if (this.#top === "all" || !sequence.constraint || logitCount(item) === 0) return undefined;
    try {
      sequence.maskNext(this.#runner.vocabulary);
      return sequence.allowed;
    } catch (error) {
      // It ends when its turn comes; the others' step goes on.
      sequence.problem = error;
      return undefined;
    }
  }

  #expire(now: number): void {
    for (const sequence of [...this.#sequences.values()]) {
      const limit = sequence.request.timeoutMs;
      if (limit !== undefined && now - sequence.arrival > limit) this.#finish(sequence, "timeout");
    }
  }

  #propose(sequence: Sequence): readonly number[] {
    const left = Math.min(
      sequence.request.maxTokens - sequence.generated,
      this.#runner.contextLength - sequence.tokens.length,
    );
    const most = Math.min(this.#options.maxDraft, left - 1);
    if (most < 1) return [];
    // A mask is known for one row only; for more, the whole head would have to be computed.
    if (sequence.constraint && this.#runner.topLimit > 0) return [];
    const draft = proposeByLookup(sequence.tokens, most);
    if (sequence.draftRate >= worthwhileRate || draft.length === 0) return draft;
    // Guesses have been wrong: wait a while before the next one.
    sequence.draftRate += patience;
    return [];
  }

  /** What goes wrong with one sequence ends that one only. */
  #tryAdvance(item: Work, logitRow: number, now: number): void {
    try {
      this.#advance(item, logitRow, now);
    } catch (error) {
      if (!(error instanceof WrinkleFreeError)) throw error;
      const { id } = item.sequence.request;
      this.#scheduler.remove(item.sequence);
      this.#sequences.delete(id);
      this.#events.push({ type: "error", id, code: error.code, message: error.message });
    }
  }

  /** Books what a step computed for one sequence, and samples where its last token was computed. */
  #advance(item: Work, logitRow: number, now: number): void {
    const { sequence, rows } = item;
    const first = sequence.computed;
    const inPrompt = first < sequence.promptLength;
    const scored = sequence.readsPrompt && !sequence.promptDone;
    if (sequence.request.embedding !== undefined) this.#pool(item, logitRow);
    sequence.computed += rows;
    this.#publish(sequence, false);
    if (inPrompt && !sequence.promptDone) this.#advancePrompt(item, first, logitRow, now);
    if (sequence.remaining > 0) return;
    const offset = scored ? rows - 1 : 0;
    if (sequence.request.maxTokens === 0) {
      this.#finish(sequence, "length");
      return;
    }
    const before = sequence.draftAccepted;
    sequence.draftTokens += item.draft.length;
    for (let i = 0; i <= item.draft.length; i++) {
      const token = this.#sample(sequence, logitRow + offset + i);
      if (sequence.finished) {
        this.#finish(sequence, sequence.finished);
        return;
      }
      if (i === item.draft.length || token !== item.draft[i]) break;
      // The proposed token was the right one: its keys and values are in the pages already.
      sequence.computed++;
      sequence.draftAccepted++;
    }
    if (item.draft.length > 0) this.#learnDraft(sequence, item.draft.length, before);
  }

  #learnDraft(sequence: Sequence, proposed: number, acceptedBefore: number): void {
    const share = (sequence.draftAccepted - acceptedBefore) / proposed;
    sequence.draftRate += draftSmoothing * (share - sequence.draftRate);
    this.#publish(sequence, false);
  }

  #advancePrompt(item: Work, first: number, logitRow: number, now: number): void {
    const { sequence } = item;
    const total = sequence.promptLength;
    const processed = Math.min(sequence.computed, total);
    const top = sequence.request.promptLogprobs;
    if (top !== undefined) {
      if (first === 0) sequence.scores = [null];
      for (let i = 0; i < item.rows && first + i + 1 < total; i++) {
        const token = sequence.tokens[first + i + 1] as number;
        sequence.scores.push(logprobs(this.#runner.logits(logitRow + i), token, top));
      }
    }
    const done = processed === total;
    if (done) {
      sequence.promptDone = now;
      this.#totals.promptTokens += total - sequence.cachedTokens;
      this.#totals.cachedTokens += sequence.cachedTokens;
      this.#publish(sequence, true);
    }
    this.#events.push({
      type: "prompt",
      id: sequence.request.id,
      processed,
      total,
      cached: sequence.cachedTokens,
      ...(done && top !== undefined && { scores: sequence.scores }),
    });
  }

  /** Pools the rows that this step computed of a prompt to embed. */
  #pool(item: Work, logitRow: number): void {
    const { sequence, rows } = item;
    const { id, embedding } = sequence.request;
    if (sequence.computed === 0 || !sequence.pooler)
      sequence.pooler = new Pooler(embedding as Pooling);
    for (let i = 0; i < logitCount(item); i++)
      sequence.pooler.add(this.#runner.hidden(logitRow + i));
    if (sequence.computed + rows < sequence.promptLength) return;
    this.#events.push({ type: "embedding", id, vectors: sequence.pooler.result() });
  }

  #sample(sequence: Sequence, logitRow: number): number {
    const { request, chain, constraint } = sequence;
    const { token, score } = drawToken(sequence, this.#runner, logitRow, this.#top);
    chain.accept(token);
    constraint?.accept(token);
    sequence.tokens.push(token);
    this.#totals.generatedTokens++;
    this.#events.push({ type: "token", id: request.id, token, ...(score && { score }) });
    if (request.endTokens.includes(token)) sequence.finished = "stop";
    else if (sequence.generated >= request.maxTokens) sequence.finished = "length";
    else if (sequence.tokens.length > this.#runner.contextLength) sequence.finished = "length";
    return token;
  }

  /** Makes full pages (and with `partial` the last one) known to the prefix tree. */
  #publish(sequence: Sequence, partial: boolean): void {
    if (!sequence.usesCache) return;
    const size = this.#pages.pagePositions;
    const full = Math.floor(sequence.computed / size);
    const last = partial ? Math.ceil(sequence.computed / size) : full;
    // Only the last known page can be partial: it is published again with what has come since.
    const known = sequence.nodes.length;
    const first = (sequence.nodes[known - 1]?.tokens.length ?? size) < size ? known - 1 : known;
    for (let i = first; i < last; i++) {
      const end = Math.min((i + 1) * size, sequence.computed);
      this.#publishPage(sequence, i, sequence.tokens.slice(i * size, end));
    }
  }

  #publishPage(sequence: Sequence, index: number, tokens: readonly number[]): void {
    const page = sequence.pages[index];
    assert(page !== undefined, "a computed position has a page");
    const node = this.#pages.publish(page, tokens, sequence.nodes[index - 1], sequence.salt);
    if (node.page !== page) {
      // The same tokens after the same prefix are there already, and the same bits with them.
      sequence.pages[index] = node.page;
      this.#pages.release(page);
    }
    sequence.nodes[index] = node;
  }

  #finish(sequence: Sequence, reason: FinishReason): void {
    if (sequence.computed > 0) this.#publish(sequence, true);
    this.#scheduler.remove(sequence);
    this.#sequences.delete(sequence.request.id);
    const timings = sequence.timings(performance.now());
    this.#events.push({ type: "done", id: sequence.request.id, reason, timings });
  }
}
