// Hidden states through the engine: equal bits alone and beside others, and the head agrees with them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type EngineClient, type Pooling, startEngine } from "../../core/index.ts";
import { fixture, openFixture } from "../support/runtime.ts";

const worker = new URL("../../apps/worker.ts", import.meta.url);
const prompt = (seed: number, length: number): number[] =>
  Array.from({ length }, (_, i) => (seed * 131 + i * 977) % 4000);
const prompts = [prompt(1, 5), prompt(2, 70), prompt(3, 33), prompt(4, 1), prompt(5, 300)];
const poolings: readonly Pooling[] = ["mean", "last", "cls", "none"];

/** Hidden states of every row, computed without an engine. */
async function reference(tokens: readonly number[]): Promise<Float32Array[]> {
  using runtime = await openFixture("gguf/tern-i2_s.gguf");
  const rows: Float32Array[] = [];
  const pages = Array.from({ length: 16 }, (_, i) => i);
  for (const [position, token] of tokens.entries()) {
    const step = { tokens: [token], position, pages, logits: [0] };
    runtime.run({ sequences: [step], headRows: 0 });
    rows.push(runtime.hidden(0).slice());
  }
  return rows;
}

describe("embeddings", () => {
  let client: EngineClient;
  beforeAll(async () => {
    client = await startEngine({
      worker,
      model: fixture("gguf/tern-i2_s.gguf"),
      contextLength: 512,
      threads: 2,
      maxSequences: 8,
      maxRows: 48,
    });
  });
  afterAll(() => client.close());

  test("each pooling of a prompt's rows is what it says", async () => {
    const tokens = prompts[1] as number[];
    const rows = await reference(tokens);
    expect(await client.embed(tokens, { pooling: "none" })).toEqual(rows);
    expect(await client.embed(tokens, { pooling: "cls" })).toEqual([rows[0]!]);
    expect(await client.embed(tokens, { pooling: "last" })).toEqual([rows.at(-1)!]);
    const [mean] = await client.embed(tokens, { pooling: "mean" });
    const expected = rows[0]!.map((_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / 70);
    expect(mean).toEqual(expected);
  });

  test("the same bits beside other embeddings and generations", async () => {
    const alone: Float32Array[][] = [];
    for (const tokens of prompts) {
      for (const pooling of poolings) alone.push(await client.embed(tokens, { pooling }));
    }
    const generate = async (seed: number): Promise<number[]> => {
      const tokens: number[] = [];
      const sampling = { temperature: 0.8 };
      const request = { prompt: prompt(seed, 20), maxTokens: 40, sampling, seed, endTokens: [] };
      for await (const event of client.generate(request)) {
        if (event.type === "token") tokens.push(event.token);
      }
      return tokens;
    };
    const text = await generate(7);
    const together = prompts.flatMap((tokens) =>
      poolings.map((pooling) => client.embed(tokens, { pooling })),
    );
    const texts = await Promise.all([generate(7), ...together]);
    expect(texts[0]).toEqual(text);
    expect(texts.slice(1)).toEqual(alone);
  }, 60_000);

  test("an embedding that should also generate is refused", async () => {
    const events = client.generate({
      prompt: [1],
      maxTokens: 3,
      sampling: {},
      endTokens: [],
      embedding: "mean",
    });
    const error = await events.next().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "bad_request" });
  });

  test("a token out of range is refused, and the next embedding works", async () => {
    const error = await client.embed([1e9], { pooling: "mean" }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "bad_request" });
    const [vector] = await client.embed([1], { pooling: "mean" });
    expect(vector?.length).toBe(client.info.hidden);
  });
});
