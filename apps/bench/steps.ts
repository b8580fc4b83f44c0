// Drives a runtime without an engine: prompts, and greedy steps of several sequences.
import type { Runtime } from "../../core/index.ts";
import { patternBytes } from "./patterns.ts";

/** Reads a prompt of `tokens` in steps as large as the tape allows; logits of the last one. */
export function prefill(runtime: Runtime, tokens: number): void {
  const { maxRows } = runtime.tape.limits;
  for (let at = 0; at < tokens; at += maxRows) {
    const count = Math.min(maxRows, tokens - at);
    const ids = Array.from(
      { length: count },
      (_, i) => ((at + i) * 7919 + 13) % runtime.vocabulary,
    );
    const logits = at + count === tokens ? [count - 1] : [];
    const pages = pagesOf(runtime, 0, at + count);
    runtime.run({ sequences: [{ tokens: ids, position: at, pages, logits }] }, topOf(runtime));
  }
}

/** Greedy steps of `batch` sequences from `depth` on, each feeding its token to the next. */
export function decode(
  runtime: Runtime,
  depth: number,
  batch: number,
  steps: number,
  afterStep?: () => void,
): void {
  const top = topOf(runtime);
  const tokens = Array.from({ length: batch }, (_, i) => (i * 31 + 5) % runtime.vocabulary);
  for (let step = 0; step < steps; step++) {
    const position = depth + step;
    const sequences = tokens.map((token, s) => ({
      tokens: [token],
      position,
      pages: pagesOf(runtime, s, position + 1),
      logits: [0],
    }));
    runtime.run({ sequences }, top);
    for (let s = 0; s < batch; s++) {
      tokens[s] =
        top === "all" ? largest(runtime.logits(s)) : (runtime.largest(s).ids[0] as number);
    }
    afterStep?.();
  }
}

/**
 * Fills the cache with small numbers. Memory that was never written is one page of zeros, which a
 * processor's cache holds: reading it would cost nothing.
 */
export function fillCache(runtime: Runtime): void {
  const size = runtime.pageBytes(0).length;
  const bytes = patternBytes("f16", size / 2);
  for (let page = 0; page < runtime.pages; page++) runtime.pageBytes(page).set(bytes);
}

/** Distinct experts that a step uses, all layers together: mean over the steps. 0 if there are none. */
export function countExperts(
  runtime: Runtime,
  depth: number,
  batch: number,
  steps: number,
): number {
  if (runtime.model.hyperparameters.experts === 0) return 0;
  let before = counts(runtime);
  let used = 0;
  decode(runtime, depth, batch, steps, () => {
    const now = counts(runtime);
    used += now.filter((count, i) => count > (before[i] ?? 0)).length;
    before = now;
  });
  return used / steps;
}

function counts(runtime: Runtime): number[] {
  return runtime.tape.expertUse().flatMap(({ tokens }) => tokens);
}

function topOf(runtime: Runtime): 1 | "all" {
  return runtime.topLimit > 0 ? 1 : "all";
}

/** Pages of the s-th sequence; where the pool is small they overlap, which costs the same to read. */
function pagesOf(runtime: Runtime, sequence: number, positions: number): number[] {
  const count = Math.ceil(positions / runtime.pagePositions);
  const first = (sequence * count) % Math.max(1, runtime.pages - count + 1);
  return Array.from({ length: count }, (_, i) => first + i);
}

function largest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) {
    if ((logits[i] as number) > (logits[best] as number)) best = i;
  }
  return best;
}
