// Decides each step's rows: decodes first, prefill chunks fill the budget, the youngest gives way.
import { assert } from "../errors.ts";
import type { PagePool } from "./pages.ts";
import type { Sequence } from "./sequence.ts";
import type { Work } from "./work.ts";

export interface SchedulerLimits {
  /** Rows of one step. */
  readonly maxRows: number;
  /** Rows of one step whose logits can be had. */
  readonly maxLogitRows: number;
  readonly maxSequences: number;
  /** Milliseconds that a step may take while other sequences wait for their next token. */
  readonly maxStepMs: number;
}

/** Copies the first positions of one page to another. */
export type CopyPage = (to: number, from: number) => void;

/** Smallest share of the row budget that a prefilling sequence gets, so that it moves on. */
const minimumChunk = 32;
/** Decoding sequences up to which rows of a step are cheap enough to guess ahead. */
const speculatingSequences = 2;
/** Weight of the newest measurement in the running mean of milliseconds a row. */
const smoothing = 0.25;

export class Scheduler {
  readonly waiting: Sequence[] = [];
  readonly running: Sequence[] = [];
  readonly #pages: PagePool;
  readonly #limits: SchedulerLimits;
  readonly #copyPage: CopyPage;
  preemptions = 0;
  #msPerRow = 0;

  constructor(pages: PagePool, limits: SchedulerLimits, copyPage: CopyPage) {
    this.#pages = pages;
    this.#limits = limits;
    this.#copyPage = copyPage;
  }

  /** Queues by priority, then arrival. */
  enqueue(sequence: Sequence): void {
    const before = (other: Sequence): boolean => {
      const [a, b] = [other.request.priority ?? 0, sequence.request.priority ?? 0];
      return a < b || (a === b && other.order < sequence.order);
    };
    let at = this.waiting.length;
    while (at > 0 && !before(this.waiting[at - 1] as Sequence)) at--;
    this.waiting.splice(at, 0, sequence);
  }

  /** Takes a sequence out; its pages stay cached where they are known. */
  remove(sequence: Sequence): void {
    for (const list of [this.waiting, this.running]) {
      const at = list.indexOf(sequence);
      if (at >= 0) list.splice(at, 1);
    }
    this.#releasePages(sequence);
  }

  /** The rows of the next step; empty when there is nothing to do. */
  plan(now: number, propose: (sequence: Sequence) => readonly number[]): Work[] {
    this.#admit(now);
    const work: Work[] = [];
    let rows = 0;
    let logitRows = 0;
    const decoding = this.running.filter((s) => s.decoding);
    const speculates = decoding.length <= speculatingSequences;
    for (const sequence of decoding) {
      if (!this.running.includes(sequence)) continue; // preempted for an older one
      if (rows >= this.#limits.maxRows || logitRows >= this.#limits.maxLogitRows) break;
      if (!this.#ensurePages(sequence, sequence.tokens.length)) continue;
      const most = Math.min(this.#limits.maxRows - rows, this.#limits.maxLogitRows - logitRows) - 1;
      const proposed = speculates ? propose(sequence).slice(0, Math.max(0, most)) : [];
      const draft = this.#fitDraft(sequence, proposed);
      work.push({ sequence, rows: 1, draft });
      rows += 1 + draft.length;
      logitRows += 1 + draft.length;
    }
    this.#planPrefill(work, rows, logitRows);
    return work.filter((item) => this.running.includes(item.sequence));
  }

  /** Learns what a row of prefill costs, for the row budget. */
  measured(prefillRows: number, milliseconds: number): void {
    if (prefillRows < minimumChunk) return;
    const sample = milliseconds / prefillRows;
    this.#msPerRow += (this.#msPerRow === 0 ? 1 : smoothing) * (sample - this.#msPerRow);
  }

  #planPrefill(work: Work[], decodeRows: number, decodeLogits: number): void {
    const prefilling = this.running.filter((s) => !s.decoding);
    let budget = this.#limits.maxRows - decodeRows;
    if (work.length > 0 && this.#msPerRow > 0) {
      const rows = Math.floor(this.#limits.maxStepMs / this.#msPerRow);
      budget = Math.min(budget, Math.max(minimumChunk, rows));
    }
    let logitRows = decodeLogits;
    let share = Math.max(minimumChunk, Math.floor(budget / Math.max(1, prefilling.length)));
    for (const [i, sequence] of prefilling.entries()) {
      if (!this.running.includes(sequence)) continue;
      if (i === prefilling.length - 1) share = budget;
      const scored = sequence.readsPrompt;
      const logitsLeft = this.#limits.maxLogitRows - logitRows;
      if (logitsLeft < 1) break;
      const most = Math.min(share, budget, scored ? logitsLeft : Infinity);
      const rows = Math.min(sequence.remaining, most);
      if (rows < 1) break;
      if (!this.#ensurePages(sequence, sequence.computed + rows)) continue;
      work.push({ sequence, rows, draft: [] });
      budget -= rows;
      logitRows += scored ? rows : 1;
    }
  }

  /** Proposed tokens take pages only where they are free: nobody is preempted for a guess. */
  #fitDraft(sequence: Sequence, draft: readonly number[]): readonly number[] {
    const size = this.#pages.pagePositions;
    const room = sequence.pages.length * size - sequence.tokens.length;
    return draft.slice(0, Math.max(0, room));
  }

  #admit(now: number): void {
    for (const sequence of [...this.waiting]) {
      if (this.running.length >= this.#limits.maxSequences) return;
      if (this.#sharesWithPrefilling(sequence)) continue;
      if (!this.#take(sequence)) return;
      this.waiting.splice(this.waiting.indexOf(sequence), 1);
      this.running.push(sequence);
      if (!sequence.started) sequence.started = now;
    }
  }

  /**
   * A prompt that begins like one being read now waits for that one's pages instead of computing
   * the same keys and values twice (n > 1, or many users of one system prompt at once).
   */
  #sharesWithPrefilling(sequence: Sequence): boolean {
    if (!sequence.usesCache || sequence.readsPrompt) return false;
    return this.running.some((other) => {
      if (other.computed >= other.promptLength || !other.usesCache) return false;
      if (other.salt !== sequence.salt) return false;
      const size = this.#pages.pagePositions;
      const most = Math.min(other.promptLength, sequence.tokens.length - 1);
      let shared = 0;
      while (shared < most && other.tokens[shared] === sequence.tokens[shared]) shared++;
      return shared >= size && shared > other.computed;
    });
  }

  /** Takes the cached prefix; false when the rest of the prompt would not fit yet. */
  #take(sequence: Sequence): boolean {
    const size = this.#pages.pagePositions;
    const reads = sequence.usesCache && !sequence.readsPrompt;
    const limit = reads ? sequence.tokens.length - 1 : 0;
    const match = this.#pages.match(sequence.tokens, limit, sequence.salt);
    for (const node of match.nodes) this.#pages.retain(node.page);
    if (match.partial) this.#pages.retain(match.partial.page);
    const needed = Math.ceil(sequence.tokens.length / size) - match.nodes.length;
    const spare = this.running.length === 0 ? 0 : this.running.length + 1;
    if (this.#pages.available < needed + spare && this.running.length > 0) {
      for (const node of match.nodes) this.#pages.release(node.page);
      if (match.partial) this.#pages.release(match.partial.page);
      return false;
    }
    sequence.nodes = [...match.nodes];
    sequence.pages = match.nodes.map((node) => node.page);
    sequence.computed = match.nodes.length * size;
    if (match.partial) this.#copyPartial(sequence, match.partial.page, match.partialTokens);
    if (!sequence.started) sequence.cachedTokens = sequence.computed;
    return true;
  }

  #copyPartial(sequence: Sequence, from: number, tokens: number): void {
    const page = this.#pages.allocate();
    if (page !== undefined) {
      this.#copyPage(page, from);
      sequence.pages.push(page);
      sequence.computed += tokens;
    }
    this.#pages.release(from);
  }

  /** Pages for positions 0..positions-1, preempting younger sequences; false: the sequence waits. */
  #ensurePages(sequence: Sequence, positions: number): boolean {
    const needed = Math.ceil(positions / this.#pages.pagePositions);
    while (sequence.pages.length < needed) {
      const page = this.#pages.allocate();
      if (page !== undefined) {
        sequence.pages.push(page);
        continue;
      }
      const victim = this.#youngest();
      assert(victim, "a running sequence asks");
      if (victim === sequence && this.running.length === 1) {
        sequence.finished = "length"; // alone, and the whole pool is not enough
        return false;
      }
      this.#preempt(victim);
      if (victim === sequence) return false;
    }
    return true;
  }

  #youngest(): Sequence | undefined {
    let youngest: Sequence | undefined;
    for (const sequence of this.running) {
      const [a, b] = [sequence.request.priority ?? 0, youngest?.request.priority ?? 0];
      if (!youngest || a > b || (a === b && sequence.order > youngest.order)) youngest = sequence;
    }
    return youngest;
  }

  #preempt(sequence: Sequence): void {
    this.preemptions++;
    this.running.splice(this.running.indexOf(sequence), 1);
    this.#releasePages(sequence);
    this.enqueue(sequence);
  }

  #releasePages(sequence: Sequence): void {
    for (const page of sequence.pages) this.#pages.release(page);
    sequence.pages = [];
    sequence.nodes = [];
    sequence.computed = 0;
  }
}
