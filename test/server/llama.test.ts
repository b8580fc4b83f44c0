// llama.cpp's routes: /completion in its shapes, tokens and templates, health and properties.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunningServer } from "../../apps/server/serve.ts";
import chatGolden from "../golden/tern/chat.json" with { type: "json" };
import { contextLength, events, type Json, post, testServer } from "./support.ts";

let server: RunningServer;
const complete = (body: object): Promise<Json> =>
  post(`${server.url}/completion`, body).then((reply) => {
    expect(reply.status).toBe(200);
    return reply.json;
  });

beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.stop());

describe("/completion", () => {
  test("answers in llama.cpp's shape", async () => {
    const body = { prompt: "Once upon a time", n_predict: 6, temperature: 0, return_tokens: true };
    const reply = await complete(body);
    expect(reply).toMatchObject({
      index: 0,
      stop: true,
      model: "tern",
      tokens_predicted: 6,
      stop_type: "limit",
      stopping_word: "",
      truncated: false,
      has_new_line: false,
      prompt: "<|begin_of_text|>Once upon a time",
    });
    expect(reply.tokens).toHaveLength(6);
    expect(reply.generation_settings).toMatchObject({ temperature: 0, top_k: 40, n_predict: 6 });
    const { timings } = reply;
    expect(timings.prompt_n + timings.cache_n).toBe(reply.tokens_evaluated);
    expect(timings.predicted_n).toBe(6);
    expect(timings.predicted_per_second).toBeGreaterThan(0);
  });

  test("streams the same, the last event whole", async () => {
    const body = { prompt: "Once upon a time", n_predict: 12, temperature: 0 };
    const whole = await complete(body);
    const list = await events(`${server.url}/completion`, { ...body, stream: true });
    const last = list.pop();
    expect(list.map((event) => event.content).join("")).toBe(whole.content);
    for (const event of list) {
      expect(event.stop).toBe(false);
      expect(event.tokens.length).toBeGreaterThan(0);
    }
    expect(last).toMatchObject({
      stop: true,
      content: "",
      stop_type: "limit",
      tokens_predicted: 12,
    });
  });

  test("takes text, ids, both mixed, and lists of these", async () => {
    const ids = (await post(`${server.url}/tokenize`, { content: "Once upon" })).json.tokens;
    const own = { n_predict: 3, temperature: 0, return_tokens: true };
    const bos = chatGolden.cases[0]!.ids[0]!;
    const text = await complete({ prompt: "Once upon a time", ...own });
    const mixed = await complete({ prompt: [bos, ...ids, " a time"], ...own });
    expect(mixed.tokens).toEqual(text.tokens);
    const list = await complete({ prompt: ["Once upon a time", [bos, ...ids], "One"], ...own });
    expect(list.map((result: Json) => result.index)).toEqual([0, 1, 2]);
    expect(list[0].tokens).toEqual(text.tokens);
    const object = await complete({ prompt: { prompt_string: "Once upon a time" }, ...own });
    expect(object.tokens).toEqual(text.tokens);
  });

  test("reports the probabilities of each token", async () => {
    const body = { prompt: "Once", n_predict: 4, temperature: 0, n_probs: 3 };
    const { completion_probabilities: list } = await complete(body);
    expect(list).toHaveLength(4);
    for (const entry of list) {
      expect(entry.top_logprobs).toHaveLength(3);
      expect(entry.top_logprobs[0].id).toBe(entry.id);
      expect(entry.logprob).toBe(entry.top_logprobs[0].logprob);
    }
    const post = await complete({ ...body, post_sampling_probs: true, temperature: 1, seed: 1 });
    for (const entry of post.completion_probabilities) {
      expect(entry.prob).toBeGreaterThan(0);
      const sum = entry.top_probs.reduce((total: number, top: Json) => total + top.prob, 0);
      expect(sum).toBeLessThanOrEqual(1.0001);
    }
  });

  test("stops at a word and names it", async () => {
    const body = { prompt: "Once upon a time", temperature: 0, n_predict: 60 };
    const { content } = await complete(body);
    const word = content.slice(9, 13);
    const reply = await complete({ ...body, stop: ["@@@", word] });
    expect(reply).toMatchObject({
      stop_type: "word",
      stopping_word: word,
      content: content.slice(0, content.indexOf(word)),
    });
  });

  test("ends at the context and says that it was cut", async () => {
    const reply = await complete({ prompt: "Once", ignore_eos: true, temperature: 0 });
    expect(reply).toMatchObject({ stop_type: "limit", truncated: true });
    expect(reply.tokens_evaluated + reply.tokens_predicted).toBe(contextLength + 1);
  });

  test("n_predict 0 only evaluates the prompt", async () => {
    const reply = await complete({ prompt: "Once upon a time", n_predict: 0 });
    expect(reply).toMatchObject({ content: "", tokens_predicted: 0, stop_type: "limit" });
  });

  test("a repeated prompt comes from the cache, unless told not to", async () => {
    const prompt = "A girl named Lily had a big red ball and a small dog. ".repeat(8);
    const own = { prompt, n_predict: 2, temperature: 0 };
    const first = await complete(own);
    const second = await complete(own);
    expect(second.timings.cache_n).toBe(first.tokens_evaluated - 1);
    expect(second.content).toBe(first.content);
    const uncached = await complete({ ...own, cache_prompt: false });
    expect(uncached.timings.cache_n).toBe(0);
    const salted = await complete({ ...own, cache_salt: "another tenant" });
    expect(salted.timings.cache_n).toBe(0);
  });

  test("returns the fields that are asked for", async () => {
    const response_fields = ["content", "generation_settings/n_predict", "nothing"];
    const reply = await complete({ prompt: "Once", n_predict: 1, response_fields });
    expect(Object.keys(reply).sort()).toEqual(["content", "generation_settings/n_predict"]);
  });

  test("ignores unknown fields and takes null as absent", async () => {
    const body = { prompt: "Once", n_predict: 2, temperature: null, stop: null, frobnicate: [1] };
    const reply = await complete(body);
    expect(reply.generation_settings.temperature).toBe(0.8);
    expect(reply.tokens_predicted).toBe(2);
  });
});

describe("tokens and templates", () => {
  test("tokenizes as llama.cpp and as vLLM", async () => {
    const url = `${server.url}/tokenize`;
    const plain = (await post(url, { content: "Once upon" })).json;
    const special = (await post(url, { content: "Once upon", add_special: true })).json;
    expect(special.tokens.slice(1)).toEqual(plain.tokens);
    const vllm = (await post(url, { prompt: "Once upon", return_token_strs: true })).json;
    expect(vllm.tokens).toEqual(special.tokens);
    expect(vllm).toMatchObject({ count: special.tokens.length, max_model_len: contextLength });
    expect(vllm.token_strs.slice(1).join("")).toBe("Once upon");
    expect((await post(url, {})).json.tokens).toEqual([]);
  });

  test("pieces are text, or bytes where they are no text", async () => {
    const body = { content: "wör", with_pieces: true };
    const { tokens } = (await post(`${server.url}/tokenize`, body)).json;
    const bytes = tokens.flatMap(({ piece }: Json) =>
      typeof piece === "string" ? [...Buffer.from(piece)] : piece,
    );
    expect(Buffer.from(bytes).toString()).toBe("wör");
    expect(tokens.some(({ piece }: Json) => Array.isArray(piece))).toBe(true);
  });

  test("detokenizes what it tokenized", async () => {
    const content = "Héllo, wörld! 你好 🙂\n";
    const { tokens } = (await post(`${server.url}/tokenize`, { content })).json;
    const reply = await post(`${server.url}/detokenize`, { tokens });
    expect(reply.json).toEqual({ content, prompt: content });
  });

  test("renders conversations as the reference does", async () => {
    for (const { messages, add_generation_prompt, text, ids } of chatGolden.cases) {
      const body = { messages, add_generation_prompt };
      expect((await post(`${server.url}/apply-template`, body)).json.prompt).toBe(text);
      expect((await post(`${server.url}/tokenize`, body)).json.tokens).toEqual(ids);
    }
  });

  test("continues a final message", async () => {
    const messages = [
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Once upon" },
    ];
    const body = { messages, continue_final_message: true };
    const reply = await post(`${server.url}/apply-template`, body);
    expect(reply.json.prompt.endsWith("Once upon")).toBe(true);
  });
});

describe("state", () => {
  test("is healthy, and lists its properties", async () => {
    expect(await (await fetch(`${server.url}/health`)).json()).toEqual({ status: "ok" });
    const props: Json = await (await fetch(`${server.url}/props`)).json();
    expect(props.default_generation_settings.n_ctx).toBe(contextLength);
    expect(props.default_generation_settings.params.temperature).toBe(0.8);
    expect(props.chat_template).toBe(chatGolden.chat_template);
    expect(props.bos_token).toBe("<|begin_of_text|>");
  });

  test("answers 503 in llama.cpp's words while it loads, on the open port", async () => {
    const { startServer } = await import("../../apps/server/serve.ts");
    const { modelPath } = await import("./support.ts");
    const { createRegistry } = await import("../../apps/plugins.ts");
    const registry = await createRegistry();
    const told: { loaded: number; total: number }[] = [];
    const loading = startServer({
      registry,
      models: [{ model: modelPath, contextLength: 64 }],
      port: 0,
      progress: (loaded, total) => told.push({ loaded, total }),
    });
    try {
      const reply = await fetch(`${loading.url}/health`);
      expect(reply.status).toBe(503);
      expect(await reply.json()).toMatchObject({
        error: { code: 503, message: "Loading model", type: "unavailable_error", progress: 0 },
      });
      await loading.ready;
      // Most of the bytes, step by step, never more than there are.
      expect(told.length).toBeGreaterThan(3);
      for (const [i, { loaded, total }] of told.entries()) {
        expect(loaded).toBeGreaterThan(told[i - 1]?.loaded ?? 0);
        expect(loaded).toBeLessThanOrEqual(total);
      }
      const last = told.at(-1)!;
      expect(last.loaded / last.total).toBeGreaterThan(0.9);
      expect((await fetch(`${loading.url}/health`)).status).toBe(200);
    } finally {
      await loading.stop();
    }
  });
});

describe("slots", () => {
  let folder: string;
  let saving: RunningServer;
  const action = (id: number, name: string, filename?: string) =>
    post(`${saving.url}/slots/${id}?action=${name}`, { filename });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "wf-slots-"));
    saving = await testServer({ slotSavePath: folder, parallel: 4 });
  });
  afterAll(async () => {
    await saving.stop();
    await rm(folder, { recursive: true });
  });

  test("a saved slot comes back after the cache is gone", async () => {
    const prompt = "A girl named Lily had a big red ball and a small dog. ".repeat(6);
    const body = { prompt, n_predict: 4, temperature: 0, id_slot: 2 };
    const url = `${saving.url}/completion`;
    const first = (await post(url, body)).json;
    expect(first.id_slot).toBe(2);
    const saved = await action(2, "save", "lily.bin");
    expect(saved.json).toMatchObject({ id_slot: 2, filename: "lily.bin" });
    expect(saved.json.n_saved).toBeGreaterThan(first.tokens_evaluated / 2);
    expect((await stat(join(folder, "lily.bin"))).size).toBe(saved.json.n_written);
    await fetch(`${saving.url}/flush_cache`, { method: "POST" });
    const restored = await action(1, "restore", "lily.bin");
    expect(restored.json).toMatchObject({ id_slot: 1, n_restored: saved.json.n_saved });
    const again = (await post(url, body)).json;
    expect(again.content).toBe(first.content);
    expect(again.timings.cache_n).toBeGreaterThan(first.tokens_evaluated / 2);
    expect((await action(1, "erase")).json).toEqual({
      id_slot: 1,
      n_erased: saved.json.n_saved,
    });
  });

  test("files outside of the folder, missing ones and unknown slots are refused", async () => {
    const wrong: [number, string, string?][] = [
      [2, "save", "../lily.bin"],
      [2, "save", "/tmp/lily.bin"],
      [2, "save", ""],
      [2, "save"],
      [3, "save", "empty.bin"],
      [0, "restore", "missing.bin"],
      [9, "save", "a.bin"],
      [0, "burn"],
    ];
    for (const [id, name, filename] of wrong) {
      const reply = await action(id, name, filename);
      expect([id, name, filename, reply.status]).toEqual([id, name, filename, 400]);
    }
    expect(await readdir(folder)).toEqual(["lily.bin"]);
  });

  test("lists its slots, and what they do while they do it", async () => {
    const list: Json = await (await fetch(`${saving.url}/slots`)).json();
    expect(list.map((slot: Json) => slot.id)).toEqual([0, 1, 2, 3]);
    expect(list.every((slot: Json) => !slot.is_processing)).toBe(true);
    const body = { prompt: "Once", ignore_eos: true, stream: true, temperature: 0 };
    const abort = new AbortController();
    const reply = await fetch(`${saving.url}/completion`, {
      method: "POST",
      body: JSON.stringify({ ...body, n: 4 }),
      signal: abort.signal,
    });
    await reply.body!.getReader().read();
    const busy: Json = await (await fetch(`${saving.url}/slots?fail_on_no_slot=1`)).json();
    abort.abort();
    expect(busy.error?.code ?? busy[0].is_processing).toBeOneOf([503, true]);
  });
});
