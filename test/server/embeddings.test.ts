// Embeddings over real clients: poolings against each other, scaling, encodings, batches, mistakes.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import OpenAI from "openai";
import type { RunningServer } from "../../apps/server/serve.ts";
import { contextLength, type Json, post, testServer } from "./support.ts";

let server: RunningServer;
let openai: OpenAI;
const texts = ["I believe the meaning of life is", "Write a joke about AI", "This is a test"];

beforeAll(async () => {
  server = await testServer();
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none" });
});
afterAll(() => server.stop());

const embed = async (body: object): Promise<number[][]> => {
  const { status, json } = await post(`${server.url}/v1/embeddings`, body);
  expect([status, json.error]).toEqual([200, undefined]);
  return json.data.map((item: Json) => item.embedding);
};
const raw = async (input: unknown, pooling: string): Promise<number[][]> => {
  const body = { input, pooling, embd_normalize: -1 };
  return (await post(`${server.url}/embeddings`, body)).json[0].embedding;
};
const length = (vector: readonly number[]): number => Math.hypot(...vector);
const tokens = async (content: string): Promise<number[]> =>
  (await post(`${server.url}/tokenize`, { content, add_special: true })).json.tokens;

describe("OpenAI's client", () => {
  test("gets one unit vector for each text, and the tokens counted", async () => {
    const reply = await openai.embeddings.create({ model: "tern", input: texts });
    expect(reply.object).toBe("list");
    expect(reply.model).toBe("tern");
    expect(reply.data.map(({ index, object }) => [index, object])).toEqual(
      texts.map((_, i) => [i, "embedding"]),
    );
    for (const { embedding } of reply.data) expect(length(embedding)).toBeCloseTo(1, 5);
    const counts = await Promise.all(texts.map(tokens));
    const total = counts.reduce((sum, { length }) => sum + length, 0);
    expect(reply.usage).toEqual({ prompt_tokens: total, total_tokens: total });
  });

  test("gets the same numbers as floats and in base64", async () => {
    const ask = (encoding_format: "float" | "base64") =>
      openai.embeddings.create({ model: "tern", input: texts[0]!, encoding_format });
    const [float, packed] = await Promise.all([ask("float"), ask("base64")]);
    const bytes = Buffer.from(packed.data[0]!.embedding as unknown as string, "base64");
    const values = new Float32Array(Uint8Array.from(bytes).buffer);
    expect([...values]).toEqual(float.data[0]!.embedding);
  });

  test("cuts to dimensions and scales anew", async () => {
    const input = texts[1]!;
    const whole = (await openai.embeddings.create({ model: "tern", input })).data[0]!.embedding;
    const some = await openai.embeddings.create({ model: "tern", input, dimensions: 8 });
    const scale = length(whole.slice(0, 8));
    expect(some.data[0]!.embedding).toHaveLength(8);
    for (const [i, value] of some.data[0]!.embedding.entries()) {
      expect(value).toBeCloseTo(whole[i]! / scale, 5);
    }
  });

  test("gets a refusal it understands", async () => {
    const error = await openai.embeddings.create({ model: "x", input: [] }).then(
      () => undefined,
      (error) => error,
    );
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error.param).toBe("input");
  });
});

describe("inputs", () => {
  test("as text, ids, or a mix are the same; alone or in a batch too", async () => {
    const lists = await Promise.all(texts.map(tokens));
    const batch = await embed({ input: texts });
    expect(await embed({ input: lists })).toEqual(batch);
    expect(await embed({ input: [texts[0], lists[1], texts[2]] })).toEqual(batch);
    const parts = [{ content: [{ type: "text", text: texts[0] }] }, { prompt_string: texts[1] }];
    expect(await embed({ input: parts })).toEqual(batch.slice(0, 2));
    expect(await embed({ input: "" })).toHaveLength(1);
    expect(await embed({ input: lists[1] })).toEqual([batch[1]!]);
    for (const [i, input] of texts.entries()) expect(await embed({ input })).toEqual([batch[i]!]);
  });

  test("that are alike are nearer than others", async () => {
    const input = ["The cat sat on the mat.", "The cat sat on the mat", "9 8 7 6 5 4 3 2 1 0"];
    const [a, b, c] = (await embed({ input })) as [number[], number[], number[]];
    const cosine = (x: number[], y: number[]) => x.reduce((sum, v, i) => sum + v * y[i]!, 0);
    expect(cosine(a, b)).toBeGreaterThan(cosine(a, c));
  });

  test("may be hundreds at once", async () => {
    const input = Array.from({ length: 300 }, (_, i) => `Number ${i}`);
    const batch = await embed({ input });
    expect(batch).toHaveLength(300);
    expect(await embed({ input: "Number 217" })).toEqual([batch[217]!]);
  });
});

describe("pooling", () => {
  test("mean, last and cls are made of what none gives, one vector a token", async () => {
    const input = texts[0]!;
    const rows = await raw(input, "none");
    expect(rows).toHaveLength((await tokens(input)).length);
    expect(await raw(input, "last")).toEqual([rows.at(-1)!]);
    expect(await raw(input, "cls")).toEqual([rows[0]!]);
    const [mean] = await raw(input, "mean");
    for (const [i, value] of mean!.entries()) {
      const average = rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length;
      expect(value).toBeCloseTo(average, 5);
    }
  });

  test("follows the server's setting; none is not for OpenAI's route", async () => {
    const own = await testServer({ pooling: "last" });
    try {
      const body = { input: texts[0], embd_normalize: -1 };
      const { json } = await post(`${own.url}/embedding`, body);
      expect(json).toEqual([{ index: 0, embedding: await raw(texts[0], "last") }]);
      const refused = await post(`${own.url}/v1/embeddings`, { ...body, pooling: "none" });
      expect(refused.status).toBe(400);
      expect(refused.json.error.param).toBe("pooling");
    } finally {
      await own.stop();
    }
  });

  test("norms are llama.cpp's", async () => {
    const [plain] = (await raw(texts[2], "mean")) as [number[]];
    const scaled = async (embd_normalize: number): Promise<number[]> =>
      (await post(`${server.url}/embedding`, { content: texts[2], embd_normalize })).json[0]
        .embedding[0];
    const magnitudes = plain.map(Math.abs);
    const divisors: [norm: number, divisor: number][] = [
      [-1, 1],
      [0, Math.max(...magnitudes) / 32760],
      [1, magnitudes.reduce((a, b) => a + b)],
      [2, length(plain)],
      [3, Math.cbrt(magnitudes.reduce((sum, value) => sum + value ** 3, 0))],
    ];
    for (const [norm, divisor] of divisors) {
      const vector = await scaled(norm);
      for (const [i, value] of vector.entries()) {
        expect(Math.abs(value * divisor - plain[i]!)).toBeLessThan(1e-4 * Math.max(1, divisor));
      }
    }
  });
});

test("Ollama's routes give the same vectors", async () => {
  const [expected] = await embed({ input: texts[0] });
  const list = await post(`${server.url}/api/embed`, { model: "tern", input: [texts[0]] });
  expect(list.json.embeddings).toEqual([expected]);
  expect(list.json.prompt_eval_count).toBeGreaterThan(1);
  const one = await post(`${server.url}/api/embeddings`, { model: "tern", prompt: texts[0] });
  expect(one.json.embedding).toEqual(expected);
});

test("what is no text is refused", async () => {
  for (const input of [
    [],
    { content: "text" },
    { content: [{ type: "input_audio", text: "x" }] },
    { content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } }] },
  ]) {
    const { status, json } = await post(`${server.url}/v1/embeddings`, { input });
    expect([input, status]).toEqual([input, 400]);
    expect(json.error.param).toStartWith("input");
  }
});

test("a text past the context is a 400 with both counts", async () => {
  const body = { input: ["short", Array(contextLength + 1).fill(100)] };
  const { status, json } = await post(`${server.url}/v1/embeddings`, body);
  expect(status).toBe(400);
  expect(json.error).toMatchObject({
    type: "exceed_context_size_error",
    param: "input",
    n_prompt_tokens: contextLength + 1,
    n_ctx: contextLength,
  });
});
