// Measures a runtime: prefill, decode at depth, and batched decode, in medians of several runs.
import type { Runtime } from "../../core/index.ts";

/** One measured point. Times of `tokens` tokens in all. */
export interface Measurement {
  readonly test: "prefill" | "decode";
  /** Tokens of one run, all sequences together. */
  readonly tokens: number;
  /** Positions already in the cache when it starts. */
  readonly depth: number;
  /** Sequences decoding together. */
  readonly batch: number;
  /** Median of the runs. */
  readonly tokensPerSecond: number;
  /** (slowest - fastest) / median of the runs' times. */
  readonly spread: number;
}

export interface Plan {
  readonly prefill: readonly number[];
  readonly depths: readonly number[];
  readonly batches: readonly number[];
  readonly repetitions: number;
  /** Steps of one decode run. */
  readonly steps: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}

/** Runs every point of the plan that fits the context; `report` hears of each as it is done. */
export function measure(
  runtime: Runtime,
  plan: Plan,
  report: (result: Measurement) => void,
): Measurement[] {
  const results: Measurement[] = [];
  const push = (result: Measurement): void => {
    results.push(result);
    report(result);
  };
  for (const tokens of plan.prefill) {
    if (tokens > runtime.contextLength) continue;
    push(
      summarize(
        "prefill",
        tokens,
        0,
        1,
        times(plan, () => prefill(runtime, tokens)),
      ),
    );
  }
  for (const depth of plan.depths) {
    for (const batch of plan.batches) {
      if (depth + plan.steps > runtime.contextLength) continue;
      if (depth > 0 && batch > 1) continue;
      if (batch > runtime.tape.limits.maxSequences) continue;
      const run = (): void => decode(runtime, depth, batch, plan.steps);
      push(summarize("decode", plan.steps * batch, depth, batch, times(plan, run)));
    }
  }
  return results;
}

function times(plan: Plan, run: () => void): number[] {
  run();
  return Array.from({ length: plan.repetitions }, () => {
    const start = performance.now();
    run();
    return performance.now() - start;
  });
}

function summarize(
  test: Measurement["test"],
  tokens: number,
  depth: number,
  batch: number,
  milliseconds: readonly number[],
): Measurement {
  const middle = median(milliseconds);
  return {
    test,
    tokens,
    depth,
    batch,
    tokensPerSecond: (1000 * tokens) / middle,
    spread: (Math.max(...milliseconds) - Math.min(...milliseconds)) / middle,
  };
}

/** Reads a prompt of `tokens` in steps as large as the tape allows; logits of the last one. */
export function prefill(runtime: Runtime, tokens: number): void {
  const { maxRows } = runtime.tape.limits;
  for (let at = 0; at < tokens; at += maxRows) {
    const count = Math.min(maxRows, tokens - at);
    const ids = Array.from(
      { length: count },
      (_, i) => ((at + i) * 7919 + 13) % runtime.vocabulary,
    );
    const last = at + count === tokens;
    runtime.run({
      sequences: [
        {
          tokens: ids,
          position: at,
          pages: pagesOf(runtime, 0, at + count),
          logits: last ? [count - 1] : [],
        },
      ],
    });
  }
}

/** Greedy steps of `batch` sequences from `depth` on, each feeding its token to the next. */
export function decode(runtime: Runtime, depth: number, batch: number, steps: number): void {
  const screened = runtime.topLimit > 0;
  const tokens = Array.from({ length: batch }, (_, i) => (i * 31 + 5) % runtime.vocabulary);
  for (let step = 0; step < steps; step++) {
    const position = depth + step;
    runtime.run(
      {
        sequences: tokens.map((token, s) => ({
          tokens: [token],
          position,
          pages: pagesOf(runtime, s, position + 1),
          logits: [0],
        })),
      },
      screened ? 1 : "all",
    );
    for (let s = 0; s < batch; s++) {
      tokens[s] = screened ? (runtime.largest(s).ids[0] as number) : largest(runtime.logits(s));
    }
  }
}

/** Pages of the s-th sequence; where the pool is small they overlap, which costs the same to read. */
function pagesOf(runtime: Runtime, sequence: number, positions: number): number[] {
  const count = Math.ceil(positions / runtime.pagePositions);
  const first = (sequence * count) % Math.max(1, runtime.pages - count);
  return Array.from({ length: count }, (_, i) => first + i);
}

function largest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) {
    if ((logits[i] as number) > (logits[best] as number)) best = i;
  }
  return best;
}
