// Open-loop load: arrival times, figures of known answers, a run on the project's own server, its plot.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Arrived,
  openLoop,
  poissonArrivals,
  pricePerMillion,
  summarize,
} from "../../apps/bench/http/open-loop.ts";
import { Prompts } from "../../apps/bench/http/prompts.ts";
import { testServer } from "../server/support.ts";
import { root, run } from "../support/stranger.ts";

test("arrivals are a Poisson process of the rate, equal for equal seeds", () => {
  const times = poissonArrivals(50, 400, 3);
  expect(times).toEqual(poissonArrivals(50, 400, 3));
  expect(times).not.toEqual(poissonArrivals(50, 400, 4));
  expect(times.at(-1)!).toBeLessThan(400_000);
  expect(times.length).toBe(20_000);
  expect(poissonArrivals(0.1, 1, 3).length).toBe(1);
  const waits = times.slice(1).map((at, i) => at - times[i]!);
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(0);
  // An exponential distribution: 1/e of the waits are longer than the mean of 20 ms.
  const longer = waits.filter((wait) => wait > 20).length / waits.length;
  expect(Math.abs(longer - Math.exp(-1))).toBeLessThan(0.02);
});

describe("figures", () => {
  const answer = (arrived: number, sent: number, arrivals: number[], error?: string): Arrived => ({
    arrived,
    stream: {
      ...{ sent, arrivals, ended: arrivals.at(-1) ?? sent, promptTokens: 10, cachedTokens: 0 },
      completionTokens: arrivals.length,
      ...(error !== undefined && { error }),
    },
  });
  const plan = { rate: 2, seconds: 2, deadlineMs: 500, gapMs: 100 };

  test("waiting before the request is sent counts; a deadline for first and further tokens", () => {
    const answers = [
      answer(1000, 1000, [1100, 1200, 1300]),
      // Sent late: its first token is 600 ms after its arrival.
      answer(1000, 1550, [1600, 1650]),
      // Tokens too far apart.
      answer(2000, 2001, [2100, 2300, 5000]),
      answer(2500, 2500, [], "status 503"),
    ];
    const counts = {
      before: { generatedTokens: 5, promptTokens: 100, residentBytes: 2 ** 20 },
      after: { generatedTokens: 13, promptTokens: 130, residentBytes: 3 * 2 ** 20 },
    };
    const result = summarize(answers, 1000, plan, counts);
    expect(result).toMatchObject({ requests: 4, failed: 1, seconds: 4, tokens: 8 });
    expect(result).toMatchObject({ tokens_per_s: 2, good: 0.25, goodput_per_s: 0.25 });
    expect(result.ttft_ms).toEqual({ p50: 100, p99: 600 });
    expect(result.late_ms).toBe(550);
    expect(result.server).toEqual({
      ...{ computed_prompt_tokens: 30, cached_prompt_tokens: null, generated_tokens: 8 },
      resident_mib: 3,
    });
  });

  test("nothing answered is nothing, over the time of arrivals", () => {
    const counts = { before: {}, after: {} };
    const result = summarize([], 0, plan, counts);
    expect(result).toMatchObject({ requests: 0, seconds: 2, tokens_per_s: 0, good: 0 });
  });

  test("price of a million tokens", () => {
    // 1000 tokens a second are 3.6 million an hour.
    expect(pricePerMillion(0.72, 10_000, 10)).toBe(0.2);
    expect(pricePerMillion(1, 0, 10)).toBeNull();
  });
});

describe("on a server", async () => {
  const server = await testServer({ metrics: true });
  const folder = mkdtempSync(join(tmpdir(), "wf-load-"));
  afterAll(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  test("every request is answered, and the server's counts agree with the answers'", async () => {
    const prompts = await Prompts.calibrate({ url: server.url }, 7);
    const plan = {
      ...{ rate: 40, seconds: 0.5, promptTokens: 24, maxTokens: 6, seed: 1 },
      ...{ deadlineMs: 60_000, gapMs: 60_000 },
    };
    const { result, errors } = await openLoop({ url: server.url }, prompts, plan);
    expect(errors).toEqual([]);
    const length = 40 * 0.5;
    expect(result).toMatchObject({ requests: length, failed: 0, tokens: 6 * length, good: 1 });
    const { generated_tokens, computed_prompt_tokens, cached_prompt_tokens } = result.server;
    expect(generated_tokens).toBe(result.tokens);
    expect(computed_prompt_tokens! + cached_prompt_tokens!).toBe(result.prompt_tokens);
    expect(result.server.resident_mib).toBeGreaterThan(10);
    expect(result.ttft_ms.p99).toBeGreaterThanOrEqual(result.ttft_ms.p50);
    expect(result.answer_ms.p50).toBeGreaterThanOrEqual(result.ttft_ms.p50);
  }, 60_000);

  test("the command writes JSON and a plot", async () => {
    const svg = join(folder, "load.svg");
    const flags =
      "--rate 20,60 --duration 0.3 --prompt-tokens 16 --max-tokens 4 --price 0.5 --json";
    const command = ["apps/cli/main.ts", "bench", "--url", server.url, ...flags.split(" ")];
    const { code, out, error } = await run([process.execPath, ...command, "--svg", svg], root);
    expect({ code, error }).toEqual({ code: 0, error: "" });
    const { open_loop, plan } = JSON.parse(out);
    expect(plan).toMatchObject({ duration: 0.3, price: 0.5, deadlineMs: 2000 });
    expect(open_loop.map((one: { rate: number }) => one.rate)).toEqual([20, 60]);
    for (const { failed, price_per_million_tokens } of open_loop) {
      expect(failed).toBe(0);
      expect(price_per_million_tokens).toBeGreaterThan(0);
    }
    const drawing = readFileSync(svg, "utf8");
    expect(drawing).toStartWith("<svg");
    expect(drawing.match(/<polyline/g)?.length).toBe(3);
    expect(drawing).not.toContain("NaN");
  }, 60_000);
});
