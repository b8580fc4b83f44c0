// Numbers gone wrong: a request that meets NaN or infinity ends with an error, and the others go on.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunningServer } from "../../apps/server/serve.ts";
import { createChooserFactory } from "../../core/engine/choosers.ts";
import { Engine } from "../../core/engine/engine.ts";
import type { StepRunner } from "../../core/engine/runner.ts";
import { engineOptions } from "../../core/engine/worker.ts";
import type { EngineEvent, Runtime } from "../../core/index.ts";
import { openModel } from "../../core/model.ts";
import type { StepPlan } from "../../core/tape/tape.ts";
import { contextLength, modelPath, post, testServer } from "../server/support.ts";
import { openFixture, registry } from "../support/runtime.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-numbers-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A copy of the fixture with other bytes in one tensor, from byte `from` of it. */
async function altered(name: string, from: number, bytes: Uint8Array): Promise<string> {
  const content = readFileSync(modelPath);
  using model = await openModel(modelPath, registry);
  const tensor = model.file.bytes(name);
  const at = content.indexOf(tensor.subarray(0, 256));
  expect(at).toBeGreaterThan(0);
  expect(from + bytes.length).toBeLessThanOrEqual(tensor.length);
  content.set(bytes, at + from);
  const path = join(folder, `${name}-${from}-${bytes.length}.gguf`);
  writeFileSync(path, content);
  return path;
}

const serve = (path: string) =>
  testServer({ models: [{ model: path, aliases: ["tern"], contextLength, threads: 2 }] });
const floats = (values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);
const hidden = 256;
const ask = (url: string, body: object) =>
  post(`${url}/completion`, { n_predict: 6, temperature: 0, ignore_eos: true, ...body });

describe("activations that are not finite", () => {
  const cases = [
    { name: "NaN in the last norm", tensor: "output_norm.weight", value: Number.NaN },
    { name: "infinity in the last norm", tensor: "output_norm.weight", value: Infinity },
    { name: "relu2 that overflows", tensor: "blk.1.ffn_norm.weight", value: 3e38 },
  ];
  for (const { name, tensor, value } of cases) {
    test(`${name}: every way to sample ends in a clear error`, async () => {
      const server = await serve(await altered(tensor, 0, floats(Array(hidden).fill(value))));
      try {
        for (const sampling of [{}, { temperature: 1 }, { temperature: 1, top_k: 5, seed: 1 }]) {
          for (const more of [{}, { n_probs: 2 }, { grammar: 'root ::= "a" | "b"' }]) {
            const { status, json } = await ask(server.url, {
              prompt: "Once",
              ...sampling,
              ...more,
            });
            expect({ sampling, more, status }).toEqual({ sampling, more, status: 500 });
            expect(json.error.type).toBe("server_error");
          }
        }
        expect((await fetch(`${server.url}/health`)).status).toBe(200);
      } finally {
        await server.stop();
      }
    });
  }
});

describe("one token's row of the embedding", () => {
  const victim = 300;
  const row = (half: number) => new Uint8Array(new Uint16Array(hidden).fill(half).buffer);

  test("NaN in a stored tensor is refused when the file is opened", async () => {
    const path = await altered("token_embd.weight", victim * hidden * 2, row(0x7e00));
    const error = await serve(path).catch((error) => error);
    expect(error.message).toContain("token_embd.weight holds NaN");
  });

  test("zeros are numbers like others", async () => {
    const server = await serve(await altered("token_embd.weight", victim * hidden * 2, row(0)));
    try {
      const { status, json } = await ask(server.url, { prompt: [victim, victim], n_probs: 1 });
      expect(status).toBe(200);
      for (const { logprob } of json.completion_probabilities) expect(logprob).toBeFinite();
    } finally {
      await server.stop();
    }
  });
});

/** The real runtime, but the logits after one token are NaN. */
function poisoned(runtime: Runtime, token: number): StepRunner {
  let bad = -1;
  return new Proxy<StepRunner>(runtime, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...args: never[]) => {
        if (name === "run") {
          const { sequences } = args[0] as unknown as StepPlan;
          bad = sequences.findIndex(({ tokens }) => tokens.includes(token));
        }
        const result = value.apply(target, args);
        if (args[0] !== bad) return result;
        if (name === "logits") return new Float32Array(target.vocabulary).fill(Number.NaN);
        if (name !== "largest") return result;
        return { ...result, logits: result.logits.map(() => Number.NaN) };
      };
    },
  });
}

test("logits of NaN end that request; those in the same step get the same bits as alone", async () => {
  using runtime = await openFixture("gguf/tern-i2_s.gguf", { contextLength: 64 });
  const run = (runner: StepRunner, prompts: readonly number[][]) => {
    const options = engineOptions(runtime, {});
    const engine = new Engine(runner, createChooserFactory(registry, runtime.model), options);
    for (const [i, prompt] of prompts.entries()) {
      const sampling = { temperature: i % 2, top_k: 10 };
      const more = { seed: 1, endTokens: [], ...(i > 1 && { logprobs: 1 }) };
      engine.add({ id: `${i}`, prompt, maxTokens: 5, sampling, ...more });
    }
    const events: EngineEvent[] = [];
    while (!engine.idle) events.push(...engine.step());
    return prompts.map((_, i) =>
      events.filter(({ id, type }) => id === `${i}` && (type === "token" || type === "error")),
    );
  };
  const prompts = [7, 8, 9, 10].map((last) => [4080, 5, 6, last]);
  const expected = run(runtime, prompts);
  for (const [i, token] of [7, 8, 9, 10].entries()) {
    const answers = run(poisoned(runtime, token), prompts);
    expect(answers[i]).toMatchObject([{ type: "error", code: "internal" }]);
    expect(answers.filter((_, j) => j !== i)).toEqual(expected.filter((_, j) => j !== i));
  }
});

describe("sampling at its limits", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await testServer();
  });
  afterAll(() => server.stop());
  const prompt = "Once upon a time";

  test("a temperature of almost 0 takes the likeliest token", async () => {
    const greedy = await ask(server.url, { prompt });
    for (const temperature of [1e-9, 1e-38, 5e-324]) {
      const answer = await ask(server.url, { prompt, temperature, top_k: 0, top_p: 1, min_p: 0 });
      expect({ temperature, content: answer.json.content }).toEqual({
        temperature,
        content: greedy.json.content,
      });
    }
  });

  test("an enormous temperature makes all tokens alike, and nothing else", async () => {
    const off = { top_k: 0, top_p: 1, min_p: 0, samplers: ["temperature"] };
    for (const temperature of [1e9, 1e308]) {
      const body = { prompt, temperature, seed: 7, n_predict: 200, return_tokens: true, ...off };
      const { status, json } = await ask(server.url, body);
      expect([status, json.tokens.length]).toEqual([200, 200]);
      expect(new Set(json.tokens).size).toBeGreaterThan(180);
    }
  });

  test("a bias on every token changes nothing, and one that forbids all is an error", async () => {
    const ids = Array.from({ length: 4096 }, (_, id) => id);
    const plain = await ask(server.url, { prompt });
    const shifted = await ask(server.url, { prompt, logit_bias: ids.map((id) => [id, 5]) });
    expect([shifted.status, shifted.json.content]).toEqual([200, plain.json.content]);
    const none = await ask(server.url, { prompt, logit_bias: ids.map((id) => [id, false]) });
    expect(none.status).toBe(400);
    expect(none.json.error.message).toMatch(/no token/);
    const only = ids.filter((id) => id !== 42).map((id) => [id, false]);
    const one = await ask(server.url, { prompt, logit_bias: only, return_tokens: true });
    expect(one.json.tokens).toEqual(Array(6).fill(42));
  });

  test("a grammar that allows nothing is an error, and the server goes on", async () => {
    for (const grammar of ['root ::= "a" root', 'root ::= [a-z] dead\ndead ::= "x" dead']) {
      const { status, json } = await ask(server.url, { prompt, grammar, n_predict: 4 });
      expect(status === 200 || json.error.message.length > 0).toBeTrue();
    }
    const { status, json } = await ask(server.url, {
      prompt,
      json_schema: { type: "string", enum: [] },
    });
    expect(status).toBe(400);
    expect(json.error.message).not.toContain("\n");
    expect((await ask(server.url, { prompt })).status).toBe(200);
  });
});
