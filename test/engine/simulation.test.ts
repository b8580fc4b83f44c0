// The scheduler and page pool under random load: every answer equals the request's solo run.
import { describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { Engine, type EngineOptions } from "../../core/engine/engine.ts";
import type { EngineEvent, GenerateRequest } from "../../core/engine/protocol.ts";
import type { StepRunner } from "../../core/engine/runner.ts";
import { createSamplerChain } from "../../core/sampling/chain.ts";
import type { StepPlan } from "../../core/tape/tape.ts";
import samplers from "../../plugins/samplers/index.ts";
import { generator } from "../support/random.ts";

const vocabulary = 48;
const pagePositions = 8;
const contextLength = 128;

/**
 * A stand-in for a model whose logits are a hash of every token that its pages hold at positions
 * 0..p: a wrong page, a stale position or a lost copy changes the answer.
 */
class HashModel implements StepRunner {
  readonly vocabulary = vocabulary;
  readonly contextLength = contextLength;
  readonly pagePositions = pagePositions;
  readonly fingerprint = "hash model";
  readonly pages: number;
  readonly #memory: Int32Array;
  readonly #logits: Float32Array[] = [];
  #top = 0;
  rows = 0;

  constructor(pages: number) {
    this.pages = pages;
    this.#memory = new Int32Array(pages * pagePositions).fill(-1);
  }

  readonly topLimit = 16;

  expertUse(): [] {
    return [];
  }

  largest(index: number) {
    const row = this.logits(index);
    const order = Uint32Array.from(row, (_, i) => i).sort((a, b) => row[b]! - row[a]! || a - b);
    const ids = order.slice(0, this.#top);
    return { ids, logits: Float32Array.from(ids, (id) => row[id]!) };
  }

  run(plan: StepPlan, top: number | "all"): void {
    this.#top = top === "all" ? 0 : top;
    this.#logits.length = 0;
    for (const { tokens, position, pages, logits } of plan.sequences) {
      const slot = (at: number): number =>
        (pages[Math.floor(at / pagePositions)] as number) * pagePositions + (at % pagePositions);
      tokens.forEach((token, i) => {
        this.#memory[slot(position + i)] = token;
      });
      for (const row of logits) {
        let hash = 17;
        for (let at = 0; at <= position + row; at++) {
          hash = Math.imul(hash ^ ((this.#memory[slot(at)] as number) + 1), 0x9e3779b1) >>> 0;
          hash ^= hash >>> 15;
        }
        const random = generator(hash);
        this.#logits.push(Float32Array.from({ length: vocabulary }, () => random() * 8));
      }
      this.rows += tokens.length;
    }
  }

  logits(index: number): Float32Array {
    const row = this.#logits[index];
    if (!row) throw new Error(`no logit row ${index}`);
    return row;
  }

  hidden(index: number): Float32Array {
    return this.logits(index);
  }

  pageBytes(page: number): Uint8Array {
    const at = page * pagePositions * 4;
    return new Uint8Array(this.#memory.buffer, at, pagePositions * 4);
  }

  copyPage(to: number, from: number): void {
    const start = from * pagePositions;
    this.#memory.copyWithin(to * pagePositions, start, start + pagePositions);
  }
}

const limits: EngineOptions = {
  maxRows: 40,
  maxLogitRows: 24,
  maxSequences: 12,
  maxStepMs: 1000,
  queueLimit: 10000,
  maxDraft: 0,
};

function makeEngine(pages: number, options: Partial<EngineOptions> = {}) {
  const model = new HashModel(pages);
  const engine = new Engine(
    model,
    (request) => ({
      chain: createSamplerChain(samplers.samplers ?? [], request.sampling, {
        vocabularySize: vocabulary,
        seed: request.seed ?? 1,
        tokens: request.prompt,
        endTokens: new Set(request.endTokens),
      }),
    }),
    { ...limits, ...options },
  );
  return { model, engine };
}

interface Answer {
  readonly tokens: number[];
  readonly logprobs: number[];
  readonly scores: unknown;
  reason: string | undefined;
}

function collect(answers: Map<string, Answer>, events: readonly EngineEvent[]): void {
  for (const event of events) {
    let answer = answers.get(event.id);
    if (!answer) {
      answer = { tokens: [], logprobs: [], scores: undefined, reason: undefined };
      answers.set(event.id, answer);
    }
    if (event.type === "token") {
      answer.tokens.push(event.token);
      if (event.score) answer.logprobs.push(event.score.logprob);
    } else if (event.type === "prompt" && event.scores) {
      Object.assign(answer, { scores: event.scores });
    } else if (event.type === "done") {
      if (answer.reason) throw new Error("a request ended twice");
      answer.reason = event.reason;
    }
  }
}

function solo(request: GenerateRequest): Answer {
  const { engine } = makeEngine(contextLength / pagePositions + 1);
  const answers = new Map<string, Answer>();
  engine.add(request);
  while (!engine.idle) collect(answers, engine.step());
  return answers.get(request.id) as Answer;
}

function randomRequest(id: string, random: () => number, shared: readonly number[][]) {
  const integer = (below: number): number => Math.floor(random() * below);
  const prefix = random() < 0.6 ? (shared[integer(shared.length)] as number[]) : [];
  const cut = prefix.slice(0, integer(prefix.length + 1));
  const tail = Array.from({ length: 1 + integer(20) }, () => integer(vocabulary));
  const request: GenerateRequest = {
    id,
    prompt: [...cut, ...tail],
    maxTokens: integer(30),
    sampling: random() < 0.5 ? { temperature: 0 } : { temperature: 0.7, top_k: 8 },
    seed: integer(1 << 30),
    endTokens: [integer(vocabulary)],
    ...(random() < 0.5 && { logprobs: 2 }),
    cachePrompt: random() < 0.9,
    cacheSalt: random() < 0.2 ? "other" : "",
    priority: random() < 0.1 ? -1 : 0,
    ...(random() < 0.1 && { promptLogprobs: 1 }),
  };
  return request;
}

function simulate(seed: number, operations: number, pages: number, maxDraft: number): number {
  const random = generator(seed);
  const integer = (below: number): number => Math.floor(random() * below);
  const shared = Array.from({ length: 6 }, () =>
    Array.from({ length: 40 }, () => integer(vocabulary)),
  );
  const { engine } = makeEngine(pages, { maxDraft });
  const requests = new Map<string, GenerateRequest>();
  const answers = new Map<string, Answer>();
  for (let i = 0; i < operations; i++) {
    const choice = random();
    if (choice < 0.08) {
      const request = randomRequest(`r${i}`, random, shared);
      requests.set(request.id, request);
      engine.add(request);
    } else if (choice < 0.09 && requests.size > 0) {
      engine.cancel([...requests.keys()][integer(requests.size)] as string);
    } else {
      collect(answers, engine.step());
    }
    const { pagesTotal, pagesFree, pagesCached } = engine.stats;
    if (pagesFree + pagesCached > pagesTotal) throw new Error("more pages than there are");
  }
  while (!engine.idle) collect(answers, engine.step());
  const { pagesTotal, pagesFree, pagesCached } = engine.stats;
  expect(pagesFree + pagesCached).toBe(pagesTotal);
  let compared = 0;
  for (const [id, request] of requests) {
    const answer = answers.get(id);
    if (!answer?.reason) throw new Error(`request ${id} of seed ${seed} never ended`);
    if (answer.reason === "cancelled") continue;
    expect({ id, seed, ...answer }).toEqual({ id, seed, ...solo(request) });
    compared++;
  }
  return compared;
}

describe("any mix of requests gives what each gives alone", () => {
  for (const [seed, pages, maxDraft] of [
    [1, 200, 0],
    [2, 40, 0],
    [3, 18, 0],
    [4, 40, 4],
    [5, 18, 6],
  ] as const) {
    test(`20,000 operations, seed ${seed}, ${pages} pages, ${maxDraft} proposed tokens`, () => {
      expect(simulate(seed, 20_000, pages, maxDraft)).toBeGreaterThan(500);
    });
  }
});

test("a small pool preempts, and the answers do not change", () => {
  const { engine } = makeEngine(18);
  const answers = new Map<string, Answer>();
  const random = generator(9);
  const requests = Array.from({ length: 12 }, (_, i) => ({
    ...randomRequest(`p${i}`, random, [[]]),
    maxTokens: 60,
    endTokens: [],
    promptLogprobs: undefined,
  }));
  for (const request of requests) engine.add(request);
  while (!engine.idle) collect(answers, engine.step());
  expect(engine.stats.preemptions).toBeGreaterThan(0);
  for (const request of requests) {
    expect(answers.get(request.id)?.tokens).toEqual(solo(request).tokens);
  }
});

test("a second request with the same prompt computes one token", () => {
  const { engine, model } = makeEngine(64);
  const prompt = Array.from({ length: 50 }, (_, i) => i % vocabulary);
  const request = { prompt, maxTokens: 0, sampling: {}, endTokens: [] };
  engine.add({ ...request, id: "a" });
  while (!engine.idle) engine.step();
  const before = model.rows;
  engine.add({ ...request, id: "b" });
  const events: EngineEvent[] = [];
  while (!engine.idle) events.push(...engine.step());
  expect(model.rows - before).toBe(1);
  expect(events.find((event) => event.type === "prompt")).toMatchObject({ cached: 49 });
});

test("four equal prompts at once are read once", () => {
  const { engine, model } = makeEngine(64);
  const prompt = Array.from({ length: 50 }, (_, i) => i % vocabulary);
  for (const id of ["a", "b", "c", "d"]) {
    engine.add({ id, prompt, maxTokens: 1, sampling: {}, seed: id.charCodeAt(0), endTokens: [] });
  }
  while (!engine.idle) engine.step();
  expect(model.rows).toBe(50 + 3);
});

describe("saved caches", () => {
  const prompt = Array.from({ length: 29 }, (_, i) => (i * 5) % vocabulary);
  const request = { prompt, maxTokens: 4, sampling: { temperature: 0 }, endTokens: [] };

  function run(engine: Engine, id: string): Answer {
    const answers = new Map<string, Answer>();
    engine.add({ ...request, id });
    while (!engine.idle) collect(answers, engine.step());
    return answers.get(id) as Answer;
  }

  test("a restored cache serves the prompt, with the same answer", async () => {
    const path = `${tmpdir()}/wf-${process.pid}-cache.bin`;
    const first = makeEngine(64);
    const expected = run(first.engine, "a");
    expect(first.engine.saveCache(prompt, path)).toMatchObject({ tokens: 29 });
    const second = makeEngine(64);
    expect(second.engine.restoreCache(path)).toEqual(prompt);
    expect(run(second.engine, "b").tokens).toEqual(expected.tokens);
    expect(second.model.rows).toBe(1 + 3);
    const bytes = await Bun.file(path).bytes();
    bytes[200] = (bytes[200] as number) ^ 1;
    await Bun.write(path, bytes);
    expect(() => makeEngine(64).engine.restoreCache(path)).toThrow("checksum");
    await Bun.write(path, bytes.subarray(0, 100));
    expect(() => makeEngine(64).engine.restoreCache(path)).toThrow(path);
    await Bun.file(path).delete();
    expect(() => makeEngine(64).engine.restoreCache(path)).toThrow("no saved cache");
  });
});

describe("limits", () => {
  test("a prompt longer than the context says both numbers", () => {
    const { engine } = makeEngine(64);
    const prompt = new Array(contextLength + 1).fill(1);
    expect(() =>
      engine.add({ id: "a", prompt, maxTokens: 1, sampling: {}, endTokens: [] }),
    ).toThrow("request (129 tokens) exceeds the available context size (128 tokens)");
    expect(engine.idle).toBe(true);
  });

  test("generation ends at the context's end", () => {
    const { engine } = makeEngine(64);
    const answers = new Map<string, Answer>();
    const prompt = new Array(120).fill(1);
    engine.add({ id: "a", prompt, maxTokens: 500, sampling: {}, endTokens: [] });
    while (!engine.idle) collect(answers, engine.step());
    expect(answers.get("a")).toMatchObject({ reason: "length" });
    expect(answers.get("a")?.tokens.length).toBe(9);
  });

  test("a full queue refuses with overloaded", () => {
    const { engine } = makeEngine(64, { queueLimit: 2 });
    const request = { prompt: [1], maxTokens: 1, sampling: {}, endTokens: [] };
    engine.add({ ...request, id: "a" });
    engine.add({ ...request, id: "b" });
    expect(() => engine.add({ ...request, id: "c" })).toThrow("waiting already");
  });

  test("a timeout ends a request, and says so", () => {
    const { engine } = makeEngine(64);
    const answers = new Map<string, Answer>();
    const request = { id: "a", prompt: [1], maxTokens: 100, sampling: {}, endTokens: [] };
    engine.add({ ...request, timeoutMs: 0 });
    const until = performance.now() + 2;
    while (performance.now() < until);
    while (!engine.idle) collect(answers, engine.step());
    expect(answers.get("a")?.reason).toBe("timeout");
  });
});
