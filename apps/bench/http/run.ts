// Runs `wrinklefree bench --url`: load on a server, its figures as a table or JSON.
import { renameSync, writeFileSync } from "node:fs";
import { WrinkleFreeError } from "../../../core/index.ts";
import { loadPlot } from "./load-plot.ts";
import { type OpenLoopResult, openLoop, pricePerMillion } from "./open-loop.ts";
import { Prompts } from "./prompts.ts";
import { longPrompt, sharedPrefix, sideBySide } from "./scenarios.ts";
import type { StreamStatistics } from "./statistics.ts";
import { authorization, type Server } from "./stream.ts";
import { failures, loadHead, openLoopHead, openLoopRow, pair, row } from "./table.ts";

export interface LoadTestOptions {
  readonly url: string;
  readonly apiKey?: string;
  readonly concurrency: readonly number[];
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly longPrompt: number;
  readonly sharedPrefix: number;
  readonly json?: boolean;
  /** Open loop: requests a second. */
  readonly rate?: readonly number[];
  readonly duration: number;
  readonly deadlineMs: number;
  readonly gapMs: number;
  /** Of the server, an hour, in any currency. */
  readonly price?: number;
  readonly svg?: string;
}

/** Throws `unavailable` where nothing answers, or no stream of a round ends well. */
export async function runLoadTest(options: LoadTestOptions): Promise<void> {
  const server = await connect(options);
  const say = options.json ? (): void => {} : console.log;
  say(`${server.url}: ${server.model ?? "unnamed model"}\n`);
  const prompts = await Prompts.calibrate(server, Math.floor(Math.random() * 2 ** 24));
  if (options.rate !== undefined) return runOpenLoop(server, prompts, options, options.rate);
  const tokens = { prompt: options.promptTokens, generate: options.maxTokens };
  const load: ({ concurrency: number } & StreamStatistics)[] = [];
  say(loadHead);
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

async function runOpenLoop(
  server: Server,
  prompts: Prompts,
  options: LoadTestOptions,
  rates: readonly number[],
): Promise<void> {
  const say = options.json ? (): void => {} : console.log;
  const { promptTokens, maxTokens, deadlineMs, gapMs, duration, price } = options;
  const results: (OpenLoopResult & { price_per_million_tokens?: number | null })[] = [];
  say(openLoopHead);
  for (const rate of rates) {
    const plan = { rate, seconds: duration, promptTokens, maxTokens, deadlineMs, gapMs, seed: 1 };
    const { result, errors } = await openLoop(server, prompts, plan);
    if (result.requests > 0 && result.failed === result.requests) {
      throw new WrinkleFreeError("unavailable", `every request failed: ${errors[0]}`, {
        flag: "--rate",
      });
    }
    const perMillion =
      price === undefined ? undefined : pricePerMillion(price, result.tokens, result.seconds);
    results.push({
      ...result,
      ...(price !== undefined && { price_per_million_tokens: perMillion }),
    });
    say(`${openLoopRow(result, perMillion)}${failures(errors)}`);
  }
  if (options.svg !== undefined) {
    const title = `${server.model ?? server.url}: ${promptTokens} + ${maxTokens} tokens a request`;
    writeFileSync(`${options.svg}.part`, loadPlot(results, deadlineMs, title));
    renameSync(`${options.svg}.part`, options.svg);
  }
  if (!options.json) return;
  const { url, model } = server;
  const plan = {
    ...{ duration, promptTokens, maxTokens, deadlineMs, gapMs },
    price: price ?? null,
  };
  console.log(JSON.stringify({ server: { url, model: model ?? null }, plan, open_loop: results }));
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
