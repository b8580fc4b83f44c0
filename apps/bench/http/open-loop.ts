// Open-loop load: requests arrive at random times whether or not earlier ones are answered.
import { Random } from "../../../core/index.ts";
import { round } from "../report.ts";
import type { Prompts } from "./prompts.ts";
import { type ServerCounts, serverCounts } from "./server-metrics.ts";
import { gaps, type Percentiles, percentiles } from "./statistics.ts";
import { type Server, type StreamResult, streamCompletion } from "./stream.ts";

export interface OpenLoopPlan {
  /** Requests a second on average. */
  readonly rate: number;
  /** Seconds during which requests arrive. */
  readonly seconds: number;
  readonly promptTokens: number;
  readonly maxTokens: number;
  /** A good answer's first token comes within this, its further tokens within `gapMs` on average. */
  readonly deadlineMs: number;
  readonly gapMs: number;
  readonly seed: number;
}

export interface OpenLoopResult {
  readonly rate: number;
  readonly requests: number;
  readonly failed: number;
  /** From the first arrival to the last answer's end, at least the time of arrivals. */
  readonly seconds: number;
  readonly requests_per_s: number;
  /** By the counts that come with each answer. */
  readonly prompt_tokens: number;
  readonly tokens: number;
  readonly tokens_per_s: number;
  /** From the moment of arrival, waiting for the client or the server included. */
  readonly ttft_ms: Percentiles;
  readonly inter_token_ms: Percentiles;
  readonly answer_ms: Percentiles;
  /** Answers a second that met both deadlines, and their share of all requests. */
  readonly goodput_per_s: number;
  readonly good: number;
  /** How far behind the plan a request was sent at most: a busy client. */
  readonly late_ms: number;
  /** What the server counted meanwhile, and its memory at the end; null where it does not say. */
  readonly server: {
    readonly computed_prompt_tokens: number | null;
    readonly cached_prompt_tokens: number | null;
    readonly generated_tokens: number | null;
    readonly resident_mib: number | null;
  };
}

/**
 * Milliseconds of round(rate x seconds) arrivals at random times: a Poisson process given its count, so
 * that short runs too are offered what they should be. Equal seeds give equal ones.
 */
export function poissonArrivals(rate: number, seconds: number, seed: number): number[] {
  const random = new Random(seed);
  const count = Math.max(1, Math.round(rate * seconds));
  const times = Array.from({ length: count }, () => 1000 * seconds * random.double());
  return times.sort((a, b) => a - b);
}

/** An answer, and when its request arrived (performance.now). */
export interface Arrived {
  readonly arrived: number;
  readonly stream: StreamResult;
}

export async function openLoop(
  server: Server,
  prompts: Prompts,
  plan: OpenLoopPlan,
): Promise<{ result: OpenLoopResult; errors: readonly string[] }> {
  const before = await serverCounts(server);
  const offsets = poissonArrivals(plan.rate, plan.seconds, plan.seed);
  // Made beforehand: the client must not be late.
  const texts = offsets.map(() => prompts.fresh(plan.promptTokens));
  const start = performance.now();
  const answers = await Promise.all(
    offsets.map(async (offset, i): Promise<Arrived> => {
      const arrived = start + offset;
      await Bun.sleep(Math.max(0, arrived - performance.now()));
      const options = { maxTokens: plan.maxTokens };
      return { arrived, stream: await streamCompletion(server, texts[i] as string, options) };
    }),
  );
  const counts = { before, after: await serverCounts(server) };
  const errors = answers.flatMap(({ stream }) => stream.error ?? []);
  return { result: summarize(answers, start, plan, counts), errors };
}

/** Figures of a run that began at `start`. */
export function summarize(
  answers: readonly Arrived[],
  start: number,
  plan: Pick<OpenLoopPlan, "rate" | "seconds" | "deadlineMs" | "gapMs">,
  counts: { readonly before: ServerCounts; readonly after: ServerCounts },
): OpenLoopResult {
  const done = answers.filter(({ stream }) => stream.error === undefined);
  const end = Math.max(start + 1000 * plan.seconds, ...done.map(({ stream }) => stream.ended));
  const seconds = (end - start) / 1000;
  const sum = (of: (stream: StreamResult) => number): number =>
    done.reduce((total, { stream }) => total + of(stream), 0);
  const tokens = sum((stream) => stream.completionTokens);
  const good = done.filter((one) => isGood(one, plan)).length;
  return {
    rate: plan.rate,
    requests: answers.length,
    failed: answers.length - done.length,
    seconds: round(seconds, 2),
    requests_per_s: round(done.length / seconds, 3),
    prompt_tokens: sum((stream) => stream.promptTokens),
    tokens,
    tokens_per_s: round(tokens / seconds, 2),
    ttft_ms: percentiles(done.map(firstToken)),
    inter_token_ms: percentiles(done.flatMap(({ stream }) => gaps(stream.arrivals))),
    answer_ms: percentiles(done.map(({ arrived, stream }) => stream.ended - arrived)),
    goodput_per_s: round(good / seconds, 3),
    good: answers.length === 0 ? 0 : round(good / answers.length, 4),
    late_ms: round(Math.max(0, ...answers.map((one) => one.stream.sent - one.arrived)), 1),
    server: difference(counts.before, counts.after),
  };
}

function firstToken({ arrived, stream }: Arrived): number {
  return (stream.arrivals[0] ?? stream.ended) - arrived;
}

function isGood(one: Arrived, { deadlineMs, gapMs }: Pick<OpenLoopPlan, "deadlineMs" | "gapMs">) {
  const { arrivals, completionTokens } = one.stream;
  const decoding = (arrivals.at(-1) ?? 0) - (arrivals[0] ?? 0);
  const gap = completionTokens > 1 ? decoding / (completionTokens - 1) : 0;
  return completionTokens > 0 && firstToken(one) <= deadlineMs && gap <= gapMs;
}

function difference(before: ServerCounts, after: ServerCounts): OpenLoopResult["server"] {
  const less = (a: number | undefined, b: number | undefined): number | null =>
    a === undefined || b === undefined ? null : b - a;
  const { residentBytes } = after;
  return {
    computed_prompt_tokens: less(before.promptTokens, after.promptTokens),
    cached_prompt_tokens: less(before.cachedTokens, after.cachedTokens),
    generated_tokens: less(before.generatedTokens, after.generatedTokens),
    resident_mib: residentBytes === undefined ? null : round(residentBytes / 2 ** 20, 1),
  };
}

/** Price of a million tokens where a machine of `price` an hour makes so many in `seconds`. */
export function pricePerMillion(price: number, tokens: number, seconds: number): number | null {
  return tokens === 0 ? null : round((price * seconds * 1e6) / (3600 * tokens), 4);
}
