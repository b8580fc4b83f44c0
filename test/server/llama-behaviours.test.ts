// llama-server's published behaviours that its clients rely on, case by case; docs/SERVER.md lists them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import OpenAI from "openai";
import type { RunningServer } from "../../apps/server/serve.ts";
import { contextLength, events, type Json, modelPath, post, testServer } from "./support.ts";

let server: RunningServer;
const prompt = "Once upon a time";
const user = { role: "user", content: "Tell me a story." };

beforeAll(async () => {
  server = await testServer({ defaultSeed: 42, parallel: 4 });
});
afterAll(() => server.stop());

const complete = async (body: object): Promise<Json> =>
  (await post(`${server.url}/completion`, body)).json;
const chat = async (body: object): Promise<Json> =>
  (await post(`${server.url}/chat/completions`, body)).json;
const rendered = async (messages: object[]): Promise<string> =>
  (await post(`${server.url}/apply-template`, { messages })).json.prompt;

describe("sampling", () => {
  test("the same seed gives the same text, other seeds other texts", async () => {
    const run = async (seed: number) =>
      (await complete({ prompt, seed, temperature: 1, n_predict: 32 })).content;
    const texts = await Promise.all([0, 1, 2, 3].map(run));
    expect(new Set(texts).size).toBe(4);
    expect(await Promise.all([0, 1, 2, 3].map(run))).toEqual(texts);
  });

  test("requests without a seed have the server's", async () => {
    const body = { prompt, temperature: 1, n_predict: 16 };
    const [first, second] = [await complete(body), await complete(body)];
    expect(first.generation_settings.seed).toBe(42);
    expect(second.content).toBe(first.content);
    const props: Json = await (await fetch(`${server.url}/props`)).json();
    expect(props.default_generation_settings.params.seed).toBe(42);
  });

  test("with and without the cache, sampled text is the same", async () => {
    const body = { prompt, seed: 42, temperature: 1, n_predict: 24 };
    const cached = await complete({ ...body, cache_prompt: true });
    const again = await complete({ ...body, cache_prompt: true });
    const uncached = await complete({ ...body, cache_prompt: false });
    expect(again.timings.cache_n).toBeGreaterThan(0);
    expect([again.content, uncached.content]).toEqual([cached.content, cached.content]);
  });

  test("logit_bias bans tokens, by id or text, as list or map", async () => {
    const first = await complete({ prompt, temperature: 0, n_predict: 1, return_tokens: true });
    const [token] = first.tokens;
    for (const logit_bias of [
      [[token, false]],
      [[token, -100]],
      { [token]: -100 },
      [[first.content, false]],
    ]) {
      const reply = await complete({
        prompt,
        temperature: 0,
        n_predict: 1,
        return_tokens: true,
        logit_bias,
      });
      expect(reply.tokens[0]).not.toBe(token);
    }
    const forced = await complete({
      prompt,
      temperature: 0,
      n_predict: 1,
      return_tokens: true,
      logit_bias: { "490": 1000 },
    });
    expect(forced.tokens).toEqual([490]);
  });

  test("min_tokens and ignore_eos keep it going", async () => {
    const plain = await chat({ messages: [user], temperature: 0 });
    const count = plain.usage.completion_tokens;
    const longer = await chat({ messages: [user], temperature: 0, min_tokens: count + 5 });
    expect(longer.usage.completion_tokens).toBeGreaterThanOrEqual(count + 5);
    const whole = await chat({ messages: [user], temperature: 0, ignore_eos: true });
    expect(whole.choices[0].finish_reason).toBe("length");
    expect(whole.usage.total_tokens).toBe(contextLength + 1);
  });

  test("one entry of probabilities for each token of a stream", async () => {
    const body = { prompt, n_probs: 10, temperature: 0, n_predict: 5, stream: true };
    const list = await events(`${server.url}/completion`, body);
    const entries = list.flatMap((event) => event.completion_probabilities ?? []);
    expect(entries).toHaveLength(5);
    for (const entry of entries) expect(entry.top_logprobs).toHaveLength(10);
  });

  test("unfinished characters have entries too", async () => {
    const bias = { prompt, temperature: 0, n_predict: 1, n_probs: 1 };
    const [lead] = (await post(`${server.url}/tokenize`, { content: "ö" })).json.tokens;
    const reply = await complete({ ...bias, logit_bias: [[lead, 100]] });
    expect(reply.content).toBe("\u{FFFD}");
    expect(reply.completion_probabilities[0]).toMatchObject({ id: lead, bytes: [195] });
  });
});

describe("chat", () => {
  test("a final assistant message is gone on with; two are a 400", async () => {
    const messages = [user, { role: "assistant", content: "Once upon" }];
    expect((await rendered(messages)).endsWith("Once upon")).toBe(true);
    const parts = [
      user,
      {
        role: "assistant",
        content: [
          { type: "text", text: "Once" },
          { type: "text", text: "upon" },
        ],
      },
    ];
    expect((await rendered(parts)).endsWith("Once\nupon")).toBe(true);
    const two = [...messages, { role: "assistant", content: "a" }];
    expect((await post(`${server.url}/chat/completions`, { messages: two })).status).toBe(400);
  });

  test("streams the role first, alone, and the end without content", async () => {
    const body = { messages: [user], max_tokens: 6, stream: true };
    const list = await events(`${server.url}/chat/completions`, body);
    expect(list[0].choices[0].delta).toEqual({ role: "assistant", content: null });
    expect(list.at(-1).choices[0]).toMatchObject({ delta: {}, finish_reason: "length" });
    expect(new Set(list.map((event) => event.id)).size).toBe(1);
    expect(list.every((event) => event.system_fingerprint.startsWith("b"))).toBe(true);
    expect(list.every((event) => event.usage === undefined)).toBe(true);
  });

  test("timings with each token, and the prompt's progress, when asked for", async () => {
    const list = await events(`${server.url}/chat/completions`, {
      messages: [user],
      max_tokens: 10,
      stream: true,
      stream_options: { include_usage: true },
      timings_per_token: true,
      return_progress: true,
      cache_prompt: false,
    });
    expect(list[0].timings).toBeUndefined();
    const progress = list.filter((event) => event.prompt_progress);
    expect(progress.at(-1).prompt_progress.processed).toBe(progress.at(-1).prompt_progress.total);
    const words = list.filter((event) => event.choices[0]?.delta.content);
    expect(words.every((event) => event.timings.predicted_n <= 10)).toBe(true);
    expect(list.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 10 } });
    expect(list.at(-1).timings.predicted_per_second).toBeGreaterThan(0);
  });

  test("response formats", async () => {
    const cases: [format: object, expected: RegExp | 400][] = [
      [{ type: "json_object", schema: { const: "42" } }, /^\s*"42"\s*$/],
      [{ type: "json_schema", json_schema: { schema: { const: "foooooo" } } }, /^\s*"foooooo"\s*$/],
      [{ type: "json_object" }, /^\s*\{/],
      [{ type: "text" }, /\w/],
      [{ type: "sound" }, 400],
      [{ type: "json_object", schema: 123 }, 400],
      [{ type: "json_object", schema: { type: 123 } }, 400],
      [{ type: "json_object", schema: { type: "hiccup" } }, 400],
      [{ type: "json_schema", json_schema: { name: "test" } }, 400],
    ];
    for (const [response_format, expected] of cases) {
      const body = { messages: [user], max_tokens: 40, response_format };
      const { status, json } = await post(`${server.url}/chat/completions`, body);
      if (expected === 400) expect([response_format, status]).toEqual([response_format, 400]);
      else expect(json.choices[0].message.content).toMatch(expected);
    }
  });

  test("logprobs of a stream join to its text", async () => {
    const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "dummy" });
    const stream = await openai.chat.completions.create({
      model: "gpt-3.5-turbo-instruct",
      messages: [{ role: "user", content: "What is the best book" }],
      max_tokens: 5,
      temperature: 0,
      logprobs: true,
      top_logprobs: 10,
      stream: true,
    });
    let [text, pieces] = ["", ""];
    for await (const { choices } of stream) {
      text += choices[0]?.delta.content ?? "";
      for (const entry of choices[0]?.logprobs?.content ?? []) {
        pieces += entry.token;
        expect(entry.top_logprobs).toHaveLength(10);
      }
    }
    expect(pieces).toBe(text);
    expect(text.length).toBeGreaterThan(0);
  });
});

describe("prompts", () => {
  test("several requests at once all get whole answers", async () => {
    const prompts = ["A long book.", "A poem.", "The sky is blue.", "A song.", "A joke.", prompt];
    const replies = await Promise.all(prompts.map((prompt) => complete({ prompt, n_predict: 48 })));
    for (const reply of replies) expect(reply.content.length).toBeGreaterThan(10);
    const slots: Json = await (await fetch(`${server.url}/slots`)).json();
    expect(slots).toHaveLength(4);
    expect(slots[0].params).toBeUndefined();
  });

  test("a long prompt is a 400 with both counts, in the words that clients look for", async () => {
    for (const path of ["/completion", "/v1/completions", "/v1/chat/completions"]) {
      const text = "I believe the meaning of life is ".repeat(100);
      const body = { prompt: text, messages: [{ role: "user", content: text }] };
      const { status, json } = await post(server.url + path, body);
      expect(status).toBe(400);
      expect(json.error.type).toBe("exceed_context_size_error");
      expect(json.error.n_prompt_tokens).toBeGreaterThan(contextLength);
      expect(json.error.n_ctx).toBe(contextLength);
      expect(json.error.message).toMatch(
        /^request \(\d+ tokens\) exceeds the available context size \(512 tokens\), try/,
      );
    }
  });

  test("ends with stop strings over several tokens, also when they fall apart", async () => {
    const { content } = await complete({ prompt, temperature: 0, n_predict: 40 });
    for (const [from, to] of [
      [3, 9],
      [10, 30],
      [17, 18],
    ] as const) {
      const stop = [content.slice(from, to)];
      const list = await events(`${server.url}/completion`, {
        prompt,
        temperature: 0,
        n_predict: 40,
        stop,
        stream: true,
      });
      const text = list.map((event) => event.content).join("");
      expect(text).toBe(content.slice(0, content.indexOf(stop[0]!)));
      expect(list.at(-1).stopping_word).toBe(stop[0]!);
    }
  });
});

test("responses carry progress and timings when asked for", async () => {
  const list = await events(`${server.url}/responses`, {
    input: "This is a test. ".repeat(10),
    max_output_tokens: 8,
    stream: true,
    timings_per_token: true,
    return_progress: true,
  });
  expect(list.some((event) => event.prompt_progress?.total > 0)).toBe(true);
  const deltas = list.filter((event) => event.type === "response.output_text.delta");
  expect(deltas.every((event) => event.timings.predicted_n > 0)).toBe(true);
  expect(list.at(-1).timings.predicted_n).toBe(list.at(-1).response.usage.output_tokens);
});

describe("flags", () => {
  test("-n is the most that any answer has", async () => {
    const own = await testServer({ maxTokens: 5 });
    try {
      for (const n_predict of [undefined, -1, 3, 100]) {
        const { json } = await post(`${own.url}/completion`, { prompt, n_predict });
        const most = n_predict === 3 ? 3 : 5;
        expect(json.generation_settings.n_predict).toBe(most);
        expect(json.tokens_predicted).toBeLessThanOrEqual(most);
      }
    } finally {
      await own.stop();
    }
  });

  test("--no-webui takes the page away; with keys the page needs none", async () => {
    const [bare, keyed] = await Promise.all([
      testServer({ page: false, tags: ["chat", "small"] }),
      testServer({ apiKeys: ["secret"] }),
    ]);
    try {
      expect((await fetch(bare.url)).status).toBe(404);
      const models: Json = await (await fetch(`${bare.url}/models`)).json();
      expect(models.data[0].tags).toEqual(["chat", "small"]);
      const page = await fetch(keyed.url);
      expect(page.status).toBe(200);
      expect((await page.text()).toLowerCase()).toContain("<!doctype html>");
      expect((await post(`${keyed.url}/completion`, { prompt })).status).toBe(401);
    } finally {
      await Promise.all([bare.stop(), keyed.stop()]);
    }
  });

  test("the text is the same with and without drafts, for any number of them", async () => {
    const body = { prompt: "red ball, red ball, red ball, red", temperature: 0, n_predict: 40 };
    const expected = await complete(body);
    for (const maxDraft of [1, 8]) {
      const model = { model: modelPath, contextLength, threads: 1, maxSequences: 4 };
      const own = await testServer({ models: [{ ...model, engine: { maxDraft } }] });
      try {
        const { json } = await post(`${own.url}/completion`, body);
        expect(json.content).toBe(expected.content);
        expect(json.timings.draft_n).toBeGreaterThan(0);
      } finally {
        await own.stop();
      }
    }
  });
});

test("a template may write today's date", async () => {
  const chatTemplate = "{{ strftime_now('%d %b %Y') }}|{{ messages[0].content }}";
  const model = { model: modelPath, contextLength, threads: 1, maxSequences: 1, chatTemplate };
  const own = await testServer({ models: [model] });
  try {
    const { json } = await post(`${own.url}/apply-template`, { messages: [user] });
    expect(json.prompt).toMatch(/^\d{2} [A-Z][a-z]{2} \d{4}\|Tell me a story\.$/);
  } finally {
    await own.stop();
  }
});

test("a tool that is required is called once, whole and streamed; none is never", async () => {
  const parameters = {
    type: "object",
    properties: { success: { type: "boolean", const: true } },
    required: ["success"],
  };
  const body = {
    messages: [user],
    tools: [{ type: "function", function: { name: "test", description: "", parameters } }],
    parallel_tool_calls: false,
    max_tokens: 200,
    temperature: 0,
  };
  const { choices } = await chat({ ...body, tool_choice: "required" });
  expect(choices[0].message.tool_calls).toHaveLength(1);
  expect(choices[0].message.tool_calls[0].function.name).toBe("test");
  expect(JSON.parse(choices[0].message.tool_calls[0].function.arguments)).toEqual({
    success: true,
  });
  const streamed = { ...body, tool_choice: "required", stream: true };
  const list = await events(`${server.url}/chat/completions`, streamed);
  const pieces = list.flatMap((event) => event.choices[0]?.delta.tool_calls ?? []);
  expect(pieces[0].function.name).toBe("test");
  const text = pieces.map((piece) => piece.function.arguments ?? "").join("");
  expect(JSON.parse(text)).toEqual({ success: true });
  const none = await chat({ ...body, tool_choice: "none" });
  expect(none.choices[0].message.tool_calls).toBeUndefined();
});
