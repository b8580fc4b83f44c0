// The openai client against the server: chat, completions, streams, usage, errors, cancellation.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import OpenAI, { type APIError, BadRequestError } from "openai";
import type { RunningServer } from "../../apps/server/serve.ts";
import { contextLength, idle, type Json, testServer } from "./support.ts";

let server: RunningServer;
let openai: OpenAI;
const messages = [{ role: "user" as const, content: "Tell me a story." }];

beforeAll(async () => {
  server = await testServer();
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(() => server.stop());

describe("chat", () => {
  test("answers with usage and the right finish_reason", async () => {
    const cut = await openai.chat.completions.create({ model: "tern", messages, max_tokens: 5 });
    expect(cut.object).toBe("chat.completion");
    expect(cut.model).toBe("tern");
    expect(cut.choices).toHaveLength(1);
    expect(cut.choices[0]!.finish_reason).toBe("length");
    expect(cut.choices[0]!.message.role).toBe("assistant");
    expect(cut.usage!.completion_tokens).toBe(5);
    expect(cut.usage!.total_tokens).toBe(cut.usage!.prompt_tokens + 5);
    const whole = await openai.chat.completions.create({ model: "tern", messages, temperature: 0 });
    expect(whole.choices[0]!.finish_reason).toBe("stop");
    expect(whole.choices[0]!.message.content).not.toContain("<|");
  });

  test("streams the same text that it answers whole, with usage at the end", async () => {
    const request = { model: "tern", messages, temperature: 0, max_tokens: 24 };
    const whole = await openai.chat.completions.create(request);
    const stream = await openai.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let chunks = 0;
    const reasons: string[] = [];
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      const [choice] = chunk.choices;
      if (chunks++ === 0) expect(choice!.delta.role).toBe("assistant");
      else expect(choice?.delta.role).toBeUndefined();
      if (choice?.delta.content) text += choice.delta.content;
      if (choice?.finish_reason) reasons.push(choice.finish_reason);
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(whole.choices[0]!.message.content!);
    expect(chunks).toBeGreaterThan(10);
    expect(reasons).toEqual(["length"]);
    expect(usage!.completion_tokens).toBe(24);
    expect(usage!.prompt_tokens).toBe(whole.usage!.prompt_tokens);
  });

  test("gives the same text for the same seed and n texts for n", async () => {
    const request = { model: "tern", messages, seed: 7, n: 3, max_tokens: 12 };
    const [a, b] = await Promise.all([
      openai.chat.completions.create(request),
      openai.chat.completions.create(request),
    ]);
    const texts = a.choices.map((choice) => choice.message.content);
    expect(texts).toEqual(b.choices.map((choice) => choice.message.content));
    expect(new Set(texts).size).toBeGreaterThan(1);
    expect(a.choices.map((choice) => choice.index)).toEqual([0, 1, 2]);
    expect(a.usage!.completion_tokens).toBe(36);
  });

  test("ends before a stop string, which never shows in the stream", async () => {
    const request = { model: "tern", messages, temperature: 0 };
    const whole = await openai.chat.completions.create(request);
    const text = whole.choices[0]!.message.content!;
    const stop = text.slice(20, 27);
    const expected = text.slice(0, text.indexOf(stop));
    const stream = await openai.chat.completions.create({ ...request, stop: [stop], stream: true });
    let seen = "";
    let reason: string | null = null;
    for await (const chunk of stream) {
      seen += chunk.choices[0]?.delta.content ?? "";
      reason = chunk.choices[0]?.finish_reason ?? reason;
    }
    expect(seen).toBe(expected);
    expect(reason).toBe("stop");
  });

  test("reports logprobs of every token and its alternatives", async () => {
    const reply = await openai.chat.completions.create({
      model: "tern",
      messages,
      temperature: 0,
      max_tokens: 6,
      logprobs: true,
      top_logprobs: 3,
    });
    const content = reply.choices[0]!.logprobs!.content!;
    expect(content).toHaveLength(6);
    expect(content.map((entry) => entry.token).join("")).toBe(reply.choices[0]!.message.content!);
    for (const entry of content) {
      expect(entry.logprob).toBeLessThanOrEqual(0);
      expect(entry.top_logprobs).toHaveLength(3);
      expect(entry.top_logprobs[0]!.token).toBe(entry.token);
      expect(Buffer.from(entry.bytes!).toString()).toBe(entry.token);
    }
  });
});

describe("completions", () => {
  test("echoes a prompt of token ids with its log-probabilities", async () => {
    const text = "Once upon a time, there was a dog.";
    const { data: ids } = await tokens(text);
    const reply = await openai.completions.create({
      model: "tern",
      prompt: ids,
      echo: true,
      logprobs: 2,
      max_tokens: 1,
      temperature: 0,
    });
    const [choice] = reply.choices;
    expect(choice!.text.startsWith(text)).toBe(true);
    const { tokens: pieces, token_logprobs, top_logprobs, text_offset } = choice!.logprobs!;
    expect(pieces).toHaveLength(ids.length + 1);
    expect(token_logprobs).toHaveLength(ids.length + 1);
    expect(token_logprobs![0]).toBeNull();
    expect(top_logprobs![0]).toBeNull();
    for (const value of token_logprobs!.slice(1)) expect(value).toBeLessThanOrEqual(0);
    for (const [i, offset] of text_offset!.entries()) {
      expect(choice!.text.slice(offset, offset + pieces![i]!.length)).toBe(pieces![i]!);
    }
    expect(reply.usage!.prompt_tokens).toBe(ids.length);
  });

  test("scores a prompt to the same bits, cached or not, alone or among others", async () => {
    const score = async (prompt: string): Promise<(number | null)[]> => {
      const reply = await openai.completions.create({
        model: "tern",
        prompt,
        echo: true,
        logprobs: 1,
        max_tokens: 0,
      });
      return reply.choices[0]!.logprobs!.token_logprobs!;
    };
    const prompt = "The boy and the girl went to the park to play with the red ball.";
    const first = await score(prompt);
    const others = ["One day", "A cat sat.", "The boy and the girl"].map(score);
    const [again] = await Promise.all([score(prompt), ...others]);
    expect(again).toEqual(first);
  });

  test("scores what it generates as it scores the same text in a prompt", async () => {
    const generated = await openai.completions.create({
      model: "tern",
      prompt: "Once upon a time",
      temperature: 0,
      max_tokens: 8,
      logprobs: 0,
      return_token_ids: true,
    } as never);
    const choice = (generated as Json).choices[0];
    const prompt = [...choice.prompt_token_ids, ...choice.token_ids];
    const scored = await openai.completions.create({
      model: "tern",
      prompt,
      echo: true,
      logprobs: 0,
      max_tokens: 0,
    });
    const values = scored.choices[0]!.logprobs!.token_logprobs!.slice(-8);
    expect(values).toEqual(choice.logprobs.token_logprobs);
  });

  test("answers several prompts with one choice each and the sum of their usage", async () => {
    const prompt = ["Once upon a time", "One day"];
    const reply = await openai.completions.create({ model: "tern", prompt, max_tokens: 4, n: 2 });
    expect(reply.choices.map((choice) => choice.index)).toEqual([0, 1, 2, 3]);
    expect(reply.usage!.completion_tokens).toBe(16);
    const lengths = await Promise.all(prompt.map(async (text) => (await tokens(text, true)).data));
    const total = lengths.reduce((sum, ids) => sum + ids.length, 0);
    expect(reply.usage!.prompt_tokens).toBe(total);
  });

  test("best_of returns the n most likely", async () => {
    const reply = await openai.completions.create({
      model: "tern",
      prompt: "Once",
      best_of: 4,
      n: 2,
      logprobs: 0,
      max_tokens: 6,
      seed: 3,
    });
    expect(reply.choices).toHaveLength(2);
    const mean = reply.choices.map((choice) => {
      const values = choice.logprobs!.token_logprobs!;
      return values.reduce((sum, value) => sum! + value!, 0)! / values.length;
    });
    expect(mean[0]!).toBeGreaterThanOrEqual(mean[1]!);
  });
});

describe("models", () => {
  test("lists and retrieves the model", async () => {
    const list = await openai.models.list();
    expect(list.data.map((model) => model.id)).toEqual(["tern"]);
    const model = (await openai.models.retrieve("tern")) as OpenAI.Model & Record<string, unknown>;
    expect(model.max_model_len).toBe(contextLength);
    expect(await failure(openai.models.retrieve("gpt-0"))).toMatchObject({ status: 404 });
  });
});

describe("errors", () => {
  test("a prompt longer than the context is a 400 that says both numbers", async () => {
    const prompt = Array.from({ length: contextLength + 9 }, () => 100);
    const error = await failure(openai.completions.create({ model: "tern", prompt }));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error!.type).toBe("exceed_context_size_error");
    expect(error!.message).toContain(`${contextLength + 9} tokens`);
    expect(error!.message).toContain(`${contextLength} tokens`);
    expect(error!.error).toMatchObject({
      n_prompt_tokens: contextLength + 9,
      n_ctx: contextLength,
    });
  });

  test("the same in a stream is that 400 and no stream", async () => {
    const prompt = Array.from({ length: contextLength + 1 }, () => 100);
    const error = await failure(openai.completions.create({ model: "tern", prompt, stream: true }));
    expect(error!.status).toBe(400);
  });
});

describe("cancellation", () => {
  const endless = { prompt: "Once", n: 8, ignore_eos: true };
  const whole = 8 * (contextLength - 2);

  test("a client that leaves a stream frees its sequences before they end", async () => {
    const client = server.state.slots[0]!.model.client;
    const before = await client.stats();
    const reply = await fetch(`${server.url}/v1/completions`, {
      method: "POST",
      body: JSON.stringify({ ...endless, stream: true }),
    });
    const reader = reply.body!.getReader();
    await reader.read();
    await reader.cancel();
    await idle(server);
    const after = await client.stats();
    const generated = after.generatedTokens - before.generatedTokens;
    expect(generated).toBeGreaterThan(0);
    expect(generated).toBeLessThan(whole);
    expect(after.pagesFree + after.pagesCached).toBe(after.pagesTotal);
  });

  test("many streams left at many moments leave nothing behind", async () => {
    const leave = async (pieces: number): Promise<void> => {
      const reply = await fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        body: JSON.stringify({ messages, max_tokens: 6, stream: true, n: 2 }),
      });
      const reader = reply.body!.getReader();
      for (let i = 0; i < pieces; i++) await reader.read();
      await reader.cancel();
    };
    await Promise.all(Array.from({ length: 40 }, (_, i) => leave(i % 8)));
    await idle(server);
    const { running } = server.state.observer;
    while (running.some((entry) => entry !== undefined)) await Bun.sleep(1);
    const reply = await fetch(`${server.url}/slots`);
    expect(((await reply.json()) as Json[]).some((slot) => slot.is_processing)).toBe(false);
  });

  test("a client that leaves a whole answer frees its sequences before they end", async () => {
    const client = server.state.slots[0]!.model.client;
    const before = await client.stats();
    const abort = new AbortController();
    const answer = fetch(`${server.url}/v1/completions`, {
      method: "POST",
      body: JSON.stringify(endless),
      signal: abort.signal,
    });
    const settled = answer.then(
      () => "answered",
      () => "aborted",
    );
    while ((await client.stats()).generatedTokens === before.generatedTokens) await Bun.sleep(1);
    abort.abort();
    expect(await settled).toBe("aborted");
    await idle(server);
    const after = await client.stats();
    expect(after.generatedTokens - before.generatedTokens).toBeLessThan(whole);
  });
});

test("two streams at once each give what they give alone", async () => {
  const read = async (prompt: string): Promise<string> => {
    const stream = await openai.completions.create({
      model: "tern",
      prompt,
      seed: 11,
      max_tokens: 40,
      stream: true,
    });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.text ?? "";
    return text;
  };
  const alone: string[] = [await read("Once upon a time"), await read("One day, a bird")];
  const both: string[] = await Promise.all([read("Once upon a time"), read("One day, a bird")]);
  expect(both).toEqual(alone);
});

async function tokens(content: string, special = false): Promise<{ data: number[] }> {
  const reply = await fetch(`${server.url}/tokenize`, {
    method: "POST",
    body: JSON.stringify({ content, add_special: special }),
  });
  return { data: ((await reply.json()) as { tokens: number[] }).tokens };
}

/** The error that a request ends with. */
async function failure(request: PromiseLike<unknown>): Promise<APIError> {
  try {
    await request;
  } catch (error) {
    return error as APIError;
  }
  throw new Error("the request was answered");
}
