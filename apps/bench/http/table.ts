// Load on a server as lines of a table.
import type { OpenLoopResult } from "./open-loop.ts";
import type { Percentiles, StreamStatistics } from "./statistics.ts";

export const loadHead = "streams  tokens/s   decode  TTFT p50      p99  gap p50      p99   (ms)";

export function row(concurrency: number, statistics: StreamStatistics): string {
  const { tokens_per_s, decode_tokens_per_s, ttft_ms, inter_token_ms } = statistics;
  return columns([
    [String(concurrency), 7],
    [tokens_per_s.toFixed(1), 9],
    [decode_tokens_per_s.toFixed(1), 8],
    [ttft_ms.p50.toFixed(0), 9],
    [ttft_ms.p99.toFixed(0), 8],
    [inter_token_ms.p50.toFixed(1), 8],
    [inter_token_ms.p99.toFixed(1), 8],
  ]);
}

export const openLoopHead =
  " rate/s  requests  tokens/s  TTFT p50      p99  gap p50      p99  goodput/s   good" +
  "  memory MiB  price/M";

export function openLoopRow(result: OpenLoopResult, price: number | null | undefined): string {
  const { ttft_ms, inter_token_ms, server } = result;
  return columns([
    [String(result.rate), 7],
    [String(result.requests), 9],
    [result.tokens_per_s.toFixed(1), 9],
    [ttft_ms.p50.toFixed(0), 9],
    [ttft_ms.p99.toFixed(0), 8],
    [inter_token_ms.p50.toFixed(1), 8],
    [inter_token_ms.p99.toFixed(1), 8],
    [result.goodput_per_s.toFixed(2), 10],
    [`${(100 * result.good).toFixed(0)} %`, 6],
    [server.resident_mib?.toFixed(0) ?? "-", 11],
    [price?.toFixed(3) ?? "-", 8],
  ]);
}

export function pair({ p50, p99 }: Percentiles): string {
  return `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`;
}

export function failures(errors: readonly string[]): string {
  return errors.length === 0 ? "" : `  ${errors.length} failed: ${errors[0]}`;
}

function columns(cells: readonly (readonly [text: string, width: number])[]): string {
  return cells.map(([text, width]) => text.padStart(width)).join(" ");
}
