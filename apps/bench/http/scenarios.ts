// What is tried on a server: streams side by side, a long prompt among them, prompts with one prefix.

import type { Prompts } from "./prompts.ts";
import type { StreamStatistics } from "./statistics.ts";
import { gaps, type Percentiles, percentiles, statisticsOf, timeToFirst } from "./statistics.ts";
import { type Server, type StreamResult, streamCompletion } from "./stream.ts";

export interface LongPromptResult {
  readonly prompt_tokens: number;
  readonly ttft_ms: number;
  /** Streams that were running, and the gaps between their tokens before and while it was read. */
  readonly running: number;
  readonly inter_token_ms_before: Percentiles;
  readonly inter_token_ms_during: Percentiles;
  /** Longest gap while it was read. */
  readonly longest_gap_ms: number;
  readonly error?: string;
}

export interface PrefixResult {
  readonly prompt_tokens: number;
  /** Prompt tokens that were computed, not taken from the cache. */
  readonly computed_tokens: number;
  readonly ttft_ms: number;
  readonly error?: string;
}

/** Streams running while a long prompt arrives, and tokens each may generate meanwhile. */
const runningStreams = 4;
const runningTokens = 1024;
/** Tokens each stream has generated when the long prompt is sent. */
const settledTokens = 16;
const tailTokens = 16;
const answerTokens = 4;

/** `count` streams that start together. */
export async function sideBySide(
  server: Server,
  prompts: Prompts,
  count: number,
  tokens: { prompt: number; generate: number },
): Promise<{ statistics: StreamStatistics; errors: readonly string[] }> {
  const streams = await Promise.all(
    Array.from({ length: count }, () =>
      streamCompletion(server, prompts.fresh(tokens.prompt), { maxTokens: tokens.generate }),
    ),
  );
  const errors = streams.flatMap(({ error }) => (error === undefined ? [] : [error]));
  return { statistics: statisticsOf(streams), errors };
}

/** Gaps in running streams while a prompt of `promptTokens` is read. */
export async function longPrompt(
  server: Server,
  prompts: Prompts,
  promptTokens: number,
): Promise<LongPromptResult> {
  const stop = new AbortController();
  const arrivals = Array.from({ length: runningStreams }, (): number[] => []);
  const settled = Promise.withResolvers<void>();
  const running = arrivals.map((times) =>
    streamCompletion(server, prompts.fresh(settledTokens), {
      maxTokens: runningTokens,
      signal: stop.signal,
      onText: () => {
        times.push(performance.now());
        if (arrivals.every(({ length }) => length >= settledTokens)) settled.resolve();
      },
    }),
  );
  await Promise.race([settled.promise, Promise.all(running)]);
  const long = await streamCompletion(server, prompts.fresh(promptTokens), {
    maxTokens: answerTokens,
  });
  stop.abort();
  await Promise.all(running);
  const first = long.arrivals[0] ?? long.ended;
  const before = arrivals.flatMap((times) => gaps(times, 0, long.sent));
  const during = arrivals.flatMap((times) => gaps(times, long.sent, first));
  return {
    prompt_tokens: long.promptTokens,
    ttft_ms: Math.round(timeToFirst(long)),
    running: arrivals.filter((times) => (times.at(-1) ?? 0) >= first).length,
    inter_token_ms_before: percentiles(before),
    inter_token_ms_during: percentiles(during),
    longest_gap_ms: Math.round(Math.max(0, ...during)),
    ...(long.error !== undefined && { error: long.error }),
  };
}

/** Two requests one after the other that begin with the same `prefixTokens`. */
export async function sharedPrefix(
  server: Server,
  prompts: Prompts,
  prefixTokens: number,
): Promise<{ first: PrefixResult; second: PrefixResult }> {
  const prefix = prompts.fresh(prefixTokens);
  const ask = async (): Promise<PrefixResult> => {
    const prompt = `${prefix} ${prompts.fresh(tailTokens)}`;
    return prefixResult(await streamCompletion(server, prompt, { maxTokens: answerTokens }));
  };
  const first = await ask();
  return { first, second: await ask() };
}

function prefixResult(stream: StreamResult): PrefixResult {
  return {
    prompt_tokens: stream.promptTokens,
    computed_tokens: stream.promptTokens - stream.cachedTokens,
    ttft_ms: Math.round(timeToFirst(stream)),
    ...(stream.error !== undefined && { error: stream.error }),
  };
}
