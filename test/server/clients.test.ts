// Other dialects' own clients against the server: Anthropic's, Ollama's, the Vercel AI SDK's.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { generateText, streamText } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";
import type { RunningServer } from "../../apps/server/serve.ts";
import { contextLength, type Json, post, testServer } from "./support.ts";

let server: RunningServer;
const question = "Tell me a story.";
const messages = [{ role: "user" as const, content: question }];

beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.stop());

/** What the server answers greedily, by its plainest route. */
async function expected(max_tokens: number): Promise<string> {
  const body = { messages, temperature: 0, max_tokens };
  const { json } = await post(`${server.url}/v1/chat/completions`, body);
  return json.choices[0].message.content;
}

describe("Anthropic", () => {
  const client = (): Anthropic =>
    new Anthropic({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
  const request = { model: "tern", max_tokens: 16, messages, top_k: 1 };

  test("answers a message", async () => {
    const reply = await client().messages.create({ ...request, system: "You tell stories." });
    expect(reply.type).toBe("message");
    expect(reply.stop_reason).toBe("max_tokens");
    expect(reply.content).toHaveLength(1);
    expect(reply.usage.output_tokens).toBe(16);
    const { input_tokens, cache_read_input_tokens } = reply.usage;
    const count = await client().messages.countTokens({
      model: "tern",
      messages,
      system: "You tell stories.",
    });
    expect(input_tokens + cache_read_input_tokens!).toBe(count.input_tokens);
  });

  test("streams the same as it answers", async () => {
    const stream = client().messages.stream(request);
    const kinds: string[] = [];
    stream.on("streamEvent", (event) => kinds.push(event.type));
    const message = await stream.finalMessage();
    expect(message.content).toMatchObject([{ type: "text", text: await expected(16) }]);
    expect(message.stop_reason).toBe("max_tokens");
    expect([...new Set(kinds)]).toEqual([
      "message_start",
      "content_block_start",
      "content_block_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
  });

  test("names the stop sequence that ended it", async () => {
    const text = await expected(16);
    const stop = text.slice(10, 14);
    const reply = await client().messages.create({ ...request, stop_sequences: [stop] });
    expect(reply).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: stop });
  });

  test("errors have Anthropic's shape", async () => {
    const { status, json } = await post(`${server.url}/v1/messages`, { max_tokens: 4 });
    expect(status).toBe(400);
    expect(json).toMatchObject({ type: "error", error: { type: "invalid_request_error" } });
  });
});

describe("Ollama", () => {
  const client = (): Ollama => new Ollama({ host: server.url });
  const options = { temperature: 0, num_predict: 16 };

  test("chats, whole and streamed", async () => {
    const reply = await client().chat({ model: "tern", messages, options });
    expect(reply.message.content).toBe(await expected(16));
    expect(reply).toMatchObject({ done: true, done_reason: "length", eval_count: 16 });
    let text = "";
    for await (const part of await client().chat({
      model: "tern",
      messages,
      options,
      stream: true,
    })) {
      text += part.message.content;
    }
    expect(text).toBe(reply.message.content);
  });

  test("generates, with its template or raw", async () => {
    const reply = await client().generate({ model: "tern:latest", prompt: question, options });
    expect(reply.response).toBe(await expected(16));
    const raw = await client().generate({ model: "tern", prompt: "Once", raw: true, options });
    const body = { prompt: "Once", n_predict: 16, temperature: 0 };
    expect(raw.response).toBe((await post(`${server.url}/completion`, body)).json.content);
  });

  test("lists and shows the model; an unknown one is its 404", async () => {
    const { models } = await client().list();
    expect(models.map((model) => model.name)).toEqual(["tern:latest"]);
    const shown = await client().show({ model: "tern" });
    expect(shown.details.quantization_level).toBe("I2_S");
    const { status, json } = await post(`${server.url}/api/chat`, { model: "llama3", messages });
    expect(status).toBe(404);
    expect(json).toEqual({ error: "model 'llama3' not found" });
  });
});

describe("AI SDK", () => {
  const model = () =>
    createOpenAICompatible({
      name: "wrinklefree",
      baseURL: `${server.url}/v1`,
      includeUsage: true,
    })("tern");

  test("generates text", async () => {
    const result = await generateText({
      model: model(),
      prompt: question,
      temperature: 0,
      maxOutputTokens: 16,
    });
    expect(result.text).toBe(await expected(16));
    expect(result.finishReason).toBe("length");
    expect(result.usage.outputTokens).toBe(16);
  });

  test("streams text", async () => {
    const result = streamText({
      model: model(),
      prompt: question,
      temperature: 0,
      maxOutputTokens: 16,
    });
    let text = "";
    for await (const part of result.textStream) text += part;
    expect(text).toBe(await expected(16));
    expect((await result.usage).outputTokens).toBe(16);
  });
});

describe("OpenAI responses", () => {
  const client = (): OpenAI =>
    new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });

  test("answers", async () => {
    const reply = await client().responses.create({
      model: "tern",
      input: question,
      temperature: 0,
      max_output_tokens: 16,
    });
    expect(reply.output_text).toBe(await expected(16));
    expect(reply.status).toBe("incomplete");
    expect(reply.incomplete_details).toEqual({ reason: "max_output_tokens" });
    expect(reply.usage!.output_tokens).toBe(16);
  });

  test("streams complete, numbered events", async () => {
    const stream = await client().responses.create({
      model: "tern",
      input: [{ role: "user", content: [{ type: "input_text", text: question }] }],
      temperature: 0,
      stream: true,
    });
    const events: Json[] = [];
    for await (const event of stream) events.push(event);
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, i) => i));
    const kinds = events.map((event) => event.type);
    expect([...new Set(kinds)]).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed",
    ]);
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    expect(deltas.map((event) => event.delta).join("")).toBe(await expected(contextLength));
    expect(events.at(-1).response.output[0].content[0].text).toBe(await expected(contextLength));
  });
});

describe("SGLang", () => {
  const generate = async (body: object): Promise<Json> =>
    (await post(`${server.url}/generate`, body)).json;
  const sampling_params = { temperature: 0, max_new_tokens: 8 };

  test("generates from text and from ids, one or many", async () => {
    const one = await generate({ text: "Once upon a time", sampling_params });
    expect(one.meta_info).toMatchObject({
      completion_tokens: 8,
      finish_reason: { type: "length", length: 8 },
    });
    const { tokens } = (await post(`${server.url}/tokenize`, { prompt: "Once upon a time" })).json;
    const many = await generate({ input_ids: [tokens, tokens], sampling_params });
    expect(many.map((result: Json) => result.text)).toEqual([one.text, one.text]);
    expect(many[0].output_ids).toEqual(one.output_ids);
  });

  test("returns log-probabilities from a position of the prompt on", async () => {
    const body = { text: "Once upon a time", sampling_params, return_logprob: true };
    const all = await generate({ ...body, logprob_start_len: 0, top_logprobs_num: 2 });
    const { input_token_logprobs, output_token_logprobs, output_top_logprobs } = all.meta_info;
    expect(input_token_logprobs).toHaveLength(all.meta_info.prompt_tokens);
    expect(input_token_logprobs[0][0]).toBeNull();
    expect(output_token_logprobs).toHaveLength(8);
    expect(output_top_logprobs[0]).toHaveLength(2);
    const late = await generate({ ...body, logprob_start_len: 3 });
    expect(late.meta_info.input_token_logprobs).toEqual(input_token_logprobs.slice(3));
    const outputOnly = await generate(body);
    expect(outputOnly.meta_info.input_token_logprobs).toEqual([]);
    expect(outputOnly.meta_info.output_token_logprobs).toEqual(output_token_logprobs);
  });

  test("streams the text so far", async () => {
    const reply = await fetch(`${server.url}/generate`, {
      method: "POST",
      body: JSON.stringify({ text: "Once upon a time", sampling_params, stream: true }),
    });
    const parts = (await reply.text()).trim().split("\n\n");
    expect(parts.pop()).toBe("data: [DONE]");
    const texts = parts.map((part) => JSON.parse(part.slice(6)).text as string);
    for (const [i, text] of texts.slice(1).entries()) expect(text.startsWith(texts[i]!)).toBe(true);
    expect(texts.at(-1)).toBe((await generate({ text: "Once upon a time", sampling_params })).text);
  });

  test("aborts a request by its id", async () => {
    const params = { ignore_eos: true, max_new_tokens: 100000, n: 8 };
    const body = { text: "Once", sampling_params: params, rid: "mine" };
    const running = generate(body);
    const client = server.state.slots[0]!.model.client;
    while ((await client.stats()).running === 0) await Bun.sleep(1);
    await fetch(`${server.url}/abort_request`, { method: "POST", body: '{"rid":"mine"}' });
    const results = await running;
    expect(results[0].meta_info.finish_reason.type).toBe("abort");
  });

  test("tells its router about the worker", async () => {
    for (const path of ["/get_model_info", "/model_info"]) {
      const info: Json = await (await fetch(server.url + path)).json();
      expect(info).toMatchObject({ served_model_name: "tern", is_generation: true });
    }
    const state: Json = await (await fetch(`${server.url}/get_server_info`)).json();
    expect(state.context_length).toBe(contextLength);
    expect((await fetch(`${server.url}/health_generate`)).status).toBe(200);
    expect((await fetch(`${server.url}/flush_cache`, { method: "POST" })).status).toBe(200);
    const load: Json = await (await fetch(`${server.url}/get_load`)).json();
    expect(load[0].num_reqs).toBe(0);
  });
});
