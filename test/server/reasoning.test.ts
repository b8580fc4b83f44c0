// Thinking aloud: parted from the answer however the text falls into pieces, and shown in every dialect.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import { Ollama } from "ollama";
import OpenAI from "openai";
import { ReasoningParser } from "../../apps/server/reasoning.ts";
import type { RunningServer } from "../../apps/server/serve.ts";
import { contextLength, type Json, modelPath, post, testServer } from "./support.ts";

describe("the parser", () => {
  const cases: [answer: string, reasoning: string, text: string, prompt?: string][] = [
    ["<think>a b</think>\n\nyes", "a b", "yes"],
    ["\n<think>\na\n</think>yes", "a", "yes"],
    ["yes <think>no</think>", "", "yes <think>no</think>"],
    ["no tags < at <all", "", "no tags < at <all"],
    ["<think>never ends <", "never ends <", ""],
    ["<think></think>yes", "", "yes"],
    ["<thi", "", "<thi"],
    ["a</think> yes", "a", "yes", "Assistant: <think>\n"],
    ["<think>a < b </thin k></think>c", "a < b </thin k>", "c"],
    ["", "", ""],
  ];
  test("gives the same for every cut of the text", () => {
    for (const [answer, reasoning, text, prompt = "Assistant:"] of cases) {
      for (let first = 0; first <= answer.length; first++) {
        for (const second of [first, first + 1, answer.length]) {
          const parser = new ReasoningParser(prompt);
          const pieces = [
            answer.slice(0, first),
            answer.slice(first, second),
            answer.slice(second),
          ];
          const parts = [...pieces.map((piece) => parser.push(piece)), parser.finish()];
          expect(parts.map((part) => part.reasoning).join("")).toBe(reasoning);
          expect(parts.map((part) => part.text).join("")).toBe(text);
        }
      }
    }
  });
});

describe("the server", () => {
  let server: RunningServer;
  const template =
    "{% for m in messages %}{{ m.content }}{% endfor %}{# thinks: <think></think> #}{{ bos_token }}";
  const grammar = 'root ::= "<think>" [abc]{4} "</think>\\n\\n" [xyz]{3}';
  const messages = [{ role: "user" as const, content: "Hi" }];
  const body = { model: "tern", messages, grammar, max_tokens: 60 };

  beforeAll(async () => {
    server = await testServer({
      models: [
        { model: modelPath, contextLength, threads: 1, aliases: ["tern"], chatTemplate: template },
      ],
    });
  });
  afterAll(() => server.stop());

  test("OpenAI chat: reasoning_content, whole and streamed, or left in the text", async () => {
    const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "x" });
    const reply = await openai.chat.completions.create(body);
    const message = reply.choices[0]!.message as Json;
    expect(message.reasoning_content).toMatch(/^[abc]{4}$/);
    expect(message.content).toMatch(/^[xyz]{3}$/);
    let [reasoning, content] = ["", ""];
    for await (const chunk of await openai.chat.completions.create({ ...body, stream: true })) {
      const delta = chunk.choices[0]?.delta as Json;
      reasoning += delta.reasoning_content ?? "";
      content += delta.content ?? "";
    }
    expect(reasoning).toMatch(/^[abc]{4}$/);
    expect(content).toMatch(/^[xyz]{3}$/);
    const left = await post(`${server.url}/v1/chat/completions`, {
      ...body,
      reasoning_format: "none",
    });
    expect(left.json.choices[0].message.content).toMatch(/^<think>[abc]{4}<\/think>\n\n[xyz]{3}$/);
  });

  test("Anthropic: a thinking block before the text", async () => {
    const client = new Anthropic({ baseURL: server.url, apiKey: "x" });
    const request = { model: "tern", max_tokens: 60, messages, ...({ grammar } as object) };
    const reply = await client.messages.create(request);
    expect(reply.content.map((block) => block.type)).toEqual(["thinking", "text"]);
    const streamed = await client.messages.stream(request).finalMessage();
    expect(streamed.content.map((block) => block.type)).toEqual(["thinking", "text"]);
    expect((streamed.content[0] as Json).thinking).toMatch(/^[abc]{4}$/);
  });

  test("Ollama: thinking beside the content", async () => {
    const client = new Ollama({ host: server.url });
    const reply = await client.chat({ model: "tern", messages, options: { grammar } as object });
    expect(reply.message.thinking).toMatch(/^[abc]{4}$/);
    expect(reply.message.content).toMatch(/^[xyz]{3}$/);
  });

  test("OpenAI responses: a reasoning item, whole and streamed", async () => {
    const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "x" });
    const request = { model: "tern", input: "Hi", ...({ grammar } as object) };
    const reply = await openai.responses.create(request);
    expect(reply.output.map((item) => item.type)).toEqual(["reasoning", "message"]);
    expect(reply.output_text).toMatch(/^[xyz]{3}$/);
    const events: Json[] = [];
    for await (const event of await openai.responses.create({ ...request, stream: true })) {
      events.push(event);
    }
    const output = events.at(-1).response.output;
    expect(output.map((item: Json) => item.type)).toEqual(["reasoning", "message"]);
    const done = events.find((event) => event.type === "response.reasoning_text.done");
    expect(done.text).toBe(output[0].content[0].text);
  });
});
