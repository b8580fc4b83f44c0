// Runs `wrinklefree bench --url`: load on a server, its figures as a table or JSON.
import { WrinkleFreeError } from "../../../core/index.ts";
import { Prompts } from "./prompts.ts";
import { longPrompt, sharedPrefix, sideBySide } from "./scenarios.ts";
import type { Percentiles, StreamStatistics } from "./statistics.ts";
import { authorization, type Server } from "./stream.ts";

export interface LoadTestOptions {
  readonly url: string;
  readonly apiKey?: string;
  readonly concurrency: readonly number[];
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly longPrompt: number;
  readonly sharedPrefix: number;
  readonly json?: boolean;
}

/** Throws `unavailable` where nothing answers, or no stream of a round ends well. */
export async function runLoadTest(options: LoadTestOptions): Promise<void> {
  const server = await connect(options);
  const say = options.json ? (): void => {} : console.log;
  say(`${server.url}: ${server.model ?? "unnamed model"}\n`);
  const prompts = await Prompts.calibrate(server, Math.floor(Math.random() * 2 ** 24));
  const tokens = { prompt: options.promptTokens, generate: options.maxTokens };
  const load: ({ concurrency: number } & StreamStatistics)[] = [];
  say("streams  tokens/s   decode  TTFT p50      p99  gap p50      p99   (ms)");
  for (const concurrency of options.concurrency) {
    const { statistics, errors } = await sideBySide(server, prompts, concurrency, tokens);
    if (statistics.failed === concurrency) {
      throw new WrinkleFreeError("unavailable", `${concurrency} streams failed: ${errors[0]}`, {
        flag: "--concurrency",
      });
    }
    load.push({ concurrency, ...statistics });
    say(`${row(concurrency, statistics)}${failures(errors)}`);
  }
  const long = options.longPrompt > 0 && (await longPrompt(server, prompts, options.longPrompt));
  if (long) {
    say(`\na prompt of ${long.prompt_tokens} tokens among ${long.running} running streams:`);
    say(`  its first token after ${long.ttft_ms} ms${failures(long.error ? [long.error] : [])}`);
    say(`  gaps of the others before: ${pair(long.inter_token_ms_before)}`);
    say(`  meanwhile: ${pair(long.inter_token_ms_during)}, longest ${long.longest_gap_ms} ms`);
  }
  const shared =
    options.sharedPrefix > 0 && (await sharedPrefix(server, prompts, options.sharedPrefix));
  if (shared) {
    say("\ntwo prompts with one prefix:");
    for (const { prompt_tokens, computed_tokens, ttft_ms, error } of Object.values(shared)) {
      const counts = `${computed_tokens} of ${prompt_tokens} tokens computed`;
      say(`  ${counts}, first token after ${ttft_ms} ms${failures(error ? [error] : [])}`);
    }
  }
  if (!options.json) return;
  const { url, model } = server;
  const rest = { long_prompt: long || null, shared_prefix: shared || null };
  console.log(JSON.stringify({ server: { url, model: model ?? null }, load, ...rest }));
}

async function connect(options: LoadTestOptions): Promise<Server> {
  const url = options.url.replace(/\/+$/, "").replace(/\/v1$/, "");
  const server = { url, apiKey: options.apiKey };
  const reply = await fetch(`${url}/v1/models`, { headers: authorization(server) }).catch(
    (cause: unknown) => {
      throw new WrinkleFreeError("unavailable", `${url} does not answer`, {
        flag: "--url",
        hint: "start the server, or correct the address",
        cause,
      });
    },
  );
  const body = (await reply.json().catch(() => ({}))) as { data?: { id?: string }[] };
  return { ...server, model: body.data?.[0]?.id };
}

function row(concurrency: number, statistics: StreamStatistics): string {
  const { tokens_per_s, decode_tokens_per_s, ttft_ms, inter_token_ms } = statistics;
  const columns = [
    String(concurrency).padStart(7),
    tokens_per_s.toFixed(1).padStart(9),
    decode_tokens_per_s.toFixed(1).padStart(8),
    ttft_ms.p50.toFixed(0).padStart(9),
    ttft_ms.p99.toFixed(0).padStart(8),
    inter_token_ms.p50.toFixed(1).padStart(8),
    inter_token_ms.p99.toFixed(1).padStart(8),
  ];
  return columns.join(" ");
}

function pair({ p50, p99 }: Percentiles): string {
  return `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`;
}

function failures(errors: readonly string[]): string {
  return errors.length === 0 ? "" : `  ${errors.length} failed: ${errors[0]}`;
}
