// Load on a server: counts and figures of streams, on the project's own server.
import { afterAll, expect, test } from "bun:test";
import { Prompts, words } from "../../apps/bench/http/prompts.ts";
import { longPrompt, sharedPrefix, sideBySide } from "../../apps/bench/http/scenarios.ts";
import { gaps, percentile, statisticsOf } from "../../apps/bench/http/statistics.ts";
import { streamCompletion } from "../../apps/bench/http/stream.ts";
import { idle, testServer } from "../server/support.ts";

const running = await testServer();
afterAll(() => running.stop());
const server = { url: running.url };
const prompts = await Prompts.calibrate(server, 1);

test("prompts of equal seeds are equal, others begin differently", () => {
  expect(words(5, 20)).toBe(words(5, 20));
  expect(words(5, 20).split(" ").length).toBe(20);
  expect(words(5, 1)).not.toBe(words(6, 1));
});

test("a stream tells the server's counts and when its pieces came", async () => {
  const result = await streamCompletion(server, prompts.fresh(40), { maxTokens: 12 });
  expect(result.error).toBeUndefined();
  expect(result.completionTokens).toBe(12);
  expect(result.promptTokens).toBeGreaterThan(20);
  expect(result.promptTokens).toBeLessThan(80);
  expect(result.arrivals.length).toBeGreaterThan(0);
  expect(result.arrivals.length).toBeLessThanOrEqual(13);
  const times = [result.sent, ...result.arrivals, result.ended];
  expect([...times].sort((a, b) => a - b)).toEqual(times);
});

test("streams side by side are all counted", async () => {
  const tokens = { prompt: 16, generate: 8 };
  const { statistics, errors } = await sideBySide(server, prompts, 3, tokens);
  expect(errors).toEqual([]);
  expect(statistics).toMatchObject({ streams: 3, failed: 0, tokens: 24 });
  expect(statistics.ttft_ms.p99).toBeGreaterThanOrEqual(statistics.ttft_ms.p50);
}, 60_000);

test("a refused request is counted as failed, with the server's words", async () => {
  const tokens = { prompt: 16, generate: -5 };
  const { statistics, errors } = await sideBySide(server, prompts, 2, tokens);
  expect(statistics).toMatchObject({ streams: 2, failed: 2, tokens: 0, tokens_per_s: 0 });
  expect(errors[0]).toStartWith("status 400");
}, 60_000);

test("a long prompt arrives among running streams, which are ended afterwards", async () => {
  const result = await longPrompt(server, prompts, 200);
  expect(result.error).toBeUndefined();
  expect(result.prompt_tokens).toBeGreaterThan(100);
  expect(result.longest_gap_ms).toBeGreaterThanOrEqual(0);
  expect(result.running).toBeLessThanOrEqual(4);
  await idle(running);
}, 60_000);

test("the second prompt of one prefix computes its own end only", async () => {
  const { first, second } = await sharedPrefix(server, prompts, 150);
  expect(first.computed_tokens).toBeGreaterThan(100);
  expect(second.prompt_tokens).toBeGreaterThan(100);
  expect(second.computed_tokens).toBeLessThan(60);
}, 60_000);

test("percentiles are nearest ranks, gaps lie between arrivals of a window", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect([0, 0.5, 0.99, 1].map((share) => percentile(hundred, share))).toEqual([1, 50, 99, 100]);
  expect(percentile([], 0.5)).toBe(0);
  expect(gaps([10, 12, 17, 30])).toEqual([2, 5, 13]);
  expect(gaps([10, 12, 17, 30], 13, 29)).toEqual([5]);
});

test("speed is what the server counted over the whole time, prompts included", () => {
  const stream = { promptTokens: 5, cachedTokens: 0, arrivals: [1500, 1750, 2000] };
  const figures = statisticsOf([
    { ...stream, sent: 1000, ended: 2000, completionTokens: 3 },
    { ...stream, sent: 1000, ended: 3000, completionTokens: 5 },
    { ...stream, sent: 0, ended: 9000, completionTokens: 0, error: "status 500" },
  ]);
  expect(figures).toMatchObject({ streams: 3, failed: 1, tokens: 8, seconds: 2, tokens_per_s: 4 });
  // 2 tokens in half a second, and 4.
  expect(figures.decode_tokens_per_s).toBe(12);
  expect(figures.ttft_ms).toEqual({ p50: 500, p99: 500 });
  expect(figures.inter_token_ms).toEqual({ p50: 250, p99: 250 });
});
