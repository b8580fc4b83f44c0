// Figures of many streams: time to first token, gaps between tokens, speed by the server's counts.
import { round } from "../report.ts";
import type { StreamResult } from "./stream.ts";

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

export interface StreamStatistics {
  readonly streams: number;
  readonly failed: number;
  /** Generated, by the server's counts. */
  readonly tokens: number;
  readonly seconds: number;
  /** All tokens over the whole time, prompts included. */
  readonly tokens_per_s: number;
  /** Sum of the streams' own speeds after their first tokens. */
  readonly decode_tokens_per_s: number;
  readonly ttft_ms: Percentiles;
  readonly inter_token_ms: Percentiles;
}

/** Nearest-rank percentile of `values`, share 0..1; 0 of nothing. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

export function percentiles(values: readonly number[]): Percentiles {
  return { p50: round(percentile(values, 0.5), 1), p99: round(percentile(values, 0.99), 1) };
}

/** Milliseconds between pieces of text that arrived from `from` to `to`. */
export function gaps(arrivals: readonly number[], from = 0, to = Infinity): number[] {
  return arrivals
    .slice(1)
    .map((at, i) => ({ at, gap: at - (arrivals[i] as number) }))
    .filter(({ at }) => at >= from && at <= to)
    .map(({ gap }) => gap);
}

export function timeToFirst(stream: StreamResult): number {
  return (stream.arrivals[0] ?? stream.ended) - stream.sent;
}

export function statisticsOf(streams: readonly StreamResult[]): StreamStatistics {
  const good = streams.filter((stream) => stream.error === undefined);
  const tokens = good.reduce((sum, stream) => sum + stream.completionTokens, 0);
  const start = Math.min(...good.map((stream) => stream.sent));
  const end = Math.max(...good.map((stream) => stream.ended));
  const seconds = good.length === 0 ? 0 : (end - start) / 1000;
  const decoding = good.reduce((sum, stream) => sum + decodeSpeed(stream), 0);
  return {
    streams: streams.length,
    failed: streams.length - good.length,
    tokens,
    seconds: round(seconds, 3),
    tokens_per_s: seconds === 0 ? 0 : round(tokens / seconds, 2),
    decode_tokens_per_s: round(decoding, 2),
    ttft_ms: percentiles(good.map(timeToFirst)),
    inter_token_ms: percentiles(good.flatMap((stream) => gaps(stream.arrivals))),
  };
}

/** Tokens a second after the first one. */
function decodeSpeed({ arrivals, completionTokens }: StreamResult): number {
  const [first, last] = [arrivals[0] ?? 0, arrivals.at(-1) ?? 0];
  return last > first ? (1000 * (completionTokens - 1)) / (last - first) : 0;
}
