// The screened head gives the tokens of the full head: greedy, top-k and penalized, on every step.
import { expect, test } from "bun:test";
import { syntheticPath } from "../../apps/bench/model-file.ts";
import { createChooserFactory } from "../../core/engine/choosers.ts";
import { Engine } from "../../core/engine/engine.ts";
import { openRuntime } from "../../core/engine/runtime.ts";
import { engineOptions } from "../../core/engine/worker.ts";
import type { Runtime } from "../../core/index.ts";
import { openFixture, registry } from "../support/runtime.ts";

const samplings = [
  { temperature: 0 },
  { temperature: 0.8, top_k: 40 },
  { temperature: 1.2, top_k: 20, repeat_penalty: 1.1, repeat_last_n: 16 },
  { temperature: 0.7, top_k: 5, top_p: 0.9 },
];

/** Few tokens, one token, most tokens are allowed, by turns. */
const constraints = [
  { kind: "gbnf", source: 'root ::= "{" [a-z]+ ": " [0-9]{3,9} "}" root?' },
  { kind: "json_schema", source: '{"properties":{"name":{"type":"string"}},"required":["name"]}' },
  { kind: "choice", source: '["yes", "no", "perhaps"]' },
] as const;

/** Tokens of many sequences run together, and how many were drawn. */
function generate(runtime: Runtime, maxDraft: number): number[][] {
  const options = { ...engineOptions(runtime, { maxDraft }) };
  const engine = new Engine(runtime, createChooserFactory(registry, runtime.model), options);
  const answers = new Map<string, number[]>();
  samplings.forEach((sampling, s) => {
    for (let i = 0; i < 6; i++) {
      const prompt = [4080, (37 * i + 400) % 4080, (91 * i + s) % 4080];
      const id = `${s}.${i}`;
      engine.add({ id, prompt, maxTokens: 200, sampling, seed: i, endTokens: [] });
    }
  });
  constraints.forEach((constraint, c) => {
    for (const [s, sampling] of samplings.entries()) {
      const id = `constraint ${c}.${s}`;
      const prompt = [4080, 1000 + c];
      const more = { sampling, constraint, seed: s, endTokens: [4081] };
      engine.add({ id, prompt, maxTokens: 60, ...more });
    }
  });
  while (!engine.idle) {
    for (const event of engine.step()) {
      if (event.type !== "token") continue;
      answers.set(event.id, [...(answers.get(event.id) ?? []), event.token]);
    }
  }
  return [...answers].sort(([a], [b]) => a.localeCompare(b)).map(([, tokens]) => tokens);
}

test("5,000 tokens with both heads, constrained or not, with proposals or not: none differs", async () => {
  const model = "gguf/tern-i2_s.gguf";
  using full = await openFixture(model, { head: "full" });
  using screened = await openFixture(model, { head: "screen" });
  expect(full.topLimit).toBe(0);
  expect(screened.topLimit).toBeGreaterThan(40);
  const expected = generate(full, 0);
  expect(expected.flat().length).toBeGreaterThan(4900);
  expect(generate(screened, 0)).toEqual(expected);
  expect(generate(screened, 4)).toEqual(expected);
}, 60_000);

test("a head on the file's q6_k rows: full until it is prepared, then screened, the same tokens", async () => {
  const model = syntheticPath("small", registry, { ternary: "i2_s", embedding: "q6_k" });
  const options = { model, contextLength: 256, maxSequences: 8, threads: 2 };
  using full = await openRuntime({ ...options, head: "full" }, registry);
  using later = await openRuntime({ ...options, head: "screen", headLater: true }, registry);
  const run = (runtime: Runtime): number[] => {
    const engine = new Engine(
      runtime,
      createChooserFactory(registry, runtime.model),
      engineOptions(runtime, {}),
    );
    samplings.forEach((sampling, s) => {
      engine.add({ id: `${s}`, prompt: [1, s], maxTokens: 30, sampling, seed: s, endTokens: [] });
    });
    const tokens: number[] = [];
    while (!engine.idle) {
      for (const event of engine.step()) if (event.type === "token") tokens.push(event.token);
      // Half of the tokens are drawn from all logits, half from the largest ones.
      if (tokens.length > 60) runtime.prepare();
    }
    return tokens;
  };
  const expected = run(full);
  expect(expected).toHaveLength(120);
  expect(later.topLimit).toBe(0);
  expect(run(later)).toEqual(expected);
  expect(later.topLimit).toBeGreaterThan(40);
  expect(later.prepare()).toBe(false);
}, 60_000);
