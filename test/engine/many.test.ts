// The real engine under random load: every answer, its log-probabilities too, equals the solo run's.
import { describe, expect, test } from "bun:test";
import { createChooserFactory } from "../../core/engine/choosers.ts";
import { Engine } from "../../core/engine/engine.ts";
import { engineOptions } from "../../core/engine/worker.ts";
import type { EngineEvent, GenerateRequest, Runtime } from "../../core/index.ts";
import { Random } from "../../core/index.ts";
import { openFixture, registry } from "../support/runtime.ts";

const requestsPerRun = 250;

interface Answer {
  readonly tokens: number[];
  readonly logprobs: number[];
  reason: string | undefined;
}

function newEngine(runtime: Runtime, maxDraft: number): Engine {
  const options = { ...engineOptions(runtime, { maxDraft, queueLimit: 100_000 }) };
  return new Engine(runtime, createChooserFactory(registry, runtime.model), options);
}

function collect(answers: Map<string, Answer>, events: readonly EngineEvent[]): void {
  for (const event of events) {
    const answer = answers.get(event.id) ?? { tokens: [], logprobs: [], reason: undefined };
    answers.set(event.id, answer);
    if (event.type === "token") {
      answer.tokens.push(event.token);
      if (event.score) answer.logprobs.push(event.score.logprob);
    }
    if (event.type === "done") answer.reason = event.reason;
    if (event.type === "error") throw new Error(event.message);
  }
}

function makeRequests(seed: number): GenerateRequest[] {
  const random = new Random(seed);
  const integer = (below: number): number => Math.floor(random.double() * below);
  const prefixes = Array.from({ length: 5 }, () =>
    Array.from({ length: 90 }, (_, i) => (i === 0 ? 4080 : integer(4080))),
  );
  return Array.from({ length: requestsPerRun }, (_, i) => {
    const prefix = prefixes[integer(5)]!.slice(0, 1 + integer(90));
    const tail = Array.from({ length: integer(30) }, () => integer(4080));
    return {
      id: `r${i}`,
      prompt: [...prefix, ...tail],
      maxTokens: 1 + integer(100),
      sampling: integer(2) === 0 ? { temperature: 0 } : { temperature: 0.9, top_k: 40 },
      seed: integer(1 << 30),
      endTokens: [4089],
      ...(integer(2) === 0 && { logprobs: 3 }),
    };
  });
}

/** All requests, arriving at random while others run, some cancelled; 32 at once at most. */
function together(engine: Engine, requests: readonly GenerateRequest[], seed: number) {
  const random = new Random(seed + 1);
  const answers = new Map<string, Answer>();
  const left = [...requests];
  while (left.length > 0 || !engine.idle) {
    if (left.length > 0 && random.double() < 0.6) {
      for (let n = Math.floor(random.double() * 8); n >= 0 && left.length > 0; n--) {
        engine.add(left.shift()!);
      }
    }
    if (random.double() < 0.02) engine.cancel(`r${Math.floor(random.double() * requestsPerRun)}`);
    if (!engine.idle) collect(answers, engine.step());
  }
  return answers;
}

function solo(runtime: Runtime, request: GenerateRequest): Answer {
  const engine = newEngine(runtime, 0);
  const answers = new Map<string, Answer>();
  engine.add({ ...request, cachePrompt: false });
  while (!engine.idle) collect(answers, engine.step());
  return answers.get(request.id)!;
}

describe("1,000 requests in four runs", () => {
  for (const cacheType of ["f16", "q8_0"] as const) {
    for (const maxDraft of [0, 5]) {
      const seed = 20260 + maxDraft + (cacheType === "f16" ? 0 : 100);
      test(`${cacheType} pages, ${maxDraft} proposed tokens, seed ${seed}`, async () => {
        // A pool of 24 pages for up to 32 sequences of up to 7 pages each: some give way to others.
        const pageBytes = cacheType === "f16" ? 4 * 32 * 2 * 64 * 2 * 2 : 4 * 32 * 2 * 68 * 2;
        using runtime = await openFixture("gguf/tern-i2_s.gguf", {
          cacheTypeK: cacheType,
          cacheTypeV: cacheType,
          contextLength: 256,
          maxSequences: 32,
          kvMemory: 24 * pageBytes,
        });
        const engine = newEngine(runtime, maxDraft);
        const requests = makeRequests(seed);
        const answers = together(engine, requests, seed);
        const { pagesTotal, pagesFree, pagesCached, preemptions } = engine.stats;
        expect(pagesFree + pagesCached).toBe(pagesTotal);
        expect(preemptions).toBeGreaterThan(0);
        let compared = 0;
        for (const request of requests) {
          const answer = answers.get(request.id)!;
          if (answer.reason === "cancelled") continue;
          expect({ id: request.id, seed, ...answer }).toEqual({
            id: request.id,
            seed,
            ...solo(runtime, request),
          });
          compared++;
        }
        expect(compared).toBeGreaterThan(200);
      }, 120_000);
    }
  }
});

/** Resident bytes once the allocator has given back what the collector freed. */
async function settledMemory(): Promise<number> {
  Bun.gc(true);
  await Bun.sleep(300);
  return process.memoryUsage.rss();
}

test("10,000 short requests leave pages and memory as they were", async () => {
  using runtime = await openFixture("gguf/tern-i2_s.gguf", { contextLength: 64 });
  const engine = newEngine(runtime, 0);
  const burst = (from: number, count: number): void => {
    for (let i = from; i < from + count; i++) {
      const prompt = [4080, i % 4080, (i * 7) % 4080];
      engine.add({ id: `${i}`, prompt, maxTokens: 2, sampling: { temperature: 0 }, endTokens: [] });
    }
    while (!engine.idle) engine.step();
    engine.clearCache();
  };
  // The first bursts fill the caches of the runtime and of the allocator.
  for (let i = 0; i < 4; i++) burst(1000 * i, 1000);
  const before = { ...engine.stats, rss: await settledMemory() };
  for (let i = 4; i < 14; i++) burst(1000 * i, 1000);
  const after = { ...engine.stats, rss: await settledMemory() };
  expect(after.pagesFree).toBe(before.pagesFree);
  expect(after.pagesFree).toBe(after.pagesTotal);
  expect(after.rss - before.rss).toBeLessThan(32 << 20);
}, 120_000);
