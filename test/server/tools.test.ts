// Functions and schemas through every dialect's client: forced calls, streamed arguments, results, JSON.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { generateText, jsonSchema, streamText, tool } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";
import type { RunningServer } from "../../apps/server/serve.ts";
import { type Json, post, testServer } from "./support.ts";

let server: RunningServer;
let openai: OpenAI;
const messages = [{ role: "user" as const, content: "What is the weather in Paris?" }];

const weather = Type.Object(
  {
    city: Type.Union([Type.Literal("Paris"), Type.Literal("London")]),
    days: Type.Integer({ minimum: 1, maximum: 7 }),
  },
  { additionalProperties: false },
);
const parameters = JSON.parse(JSON.stringify(weather)) as Record<string, unknown>;
const description = "The weather of a city.";
const tools = [
  { type: "function" as const, function: { name: "weather", description, parameters } },
  {
    type: "function" as const,
    function: { name: "time", parameters: { type: "object" as const, properties: {} } },
  },
];
const base = { model: "tern", messages, seed: 5, max_tokens: 200 };

beforeAll(async () => {
  server = await testServer();
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(() => server.stop());

function isWeather(text: string): boolean {
  return Value.Check(weather, JSON.parse(text));
}

describe("OpenAI chat", () => {
  const choice = { type: "function" as const, function: { name: "weather" } };

  test("a named function is called with arguments of its schema", async () => {
    const reply = await openai.chat.completions.create({
      ...base,
      tools,
      tool_choice: choice,
      parallel_tool_calls: false,
    });
    const [only] = reply.choices;
    expect(only!.finish_reason).toBe("tool_calls");
    const calls = only!.message.tool_calls as Json[];
    expect(calls[0].type).toBe("function");
    expect(calls[0].id).toMatch(/^call_\w+$/);
    for (const call of calls) {
      expect(call.function.name).toBe("weather");
      expect(isWeather(call.function.arguments)).toBe(true);
    }
  });

  test("required calls one of them; without parallel calls exactly one", async () => {
    for (const seed of [1, 2, 3, 4]) {
      const reply = await openai.chat.completions.create({
        ...base,
        seed,
        tools,
        tool_choice: "required",
        parallel_tool_calls: false,
      });
      const calls = reply.choices[0]!.message.tool_calls as Json[];
      expect(calls).toHaveLength(1);
      expect(["weather", "time"]).toContain(calls[0].function.name);
    }
  });

  test("streams a call: id and name first, then its arguments in pieces", async () => {
    const request = {
      ...base,
      tools,
      tool_choice: choice,
      parallel_tool_calls: false,
      temperature: 0,
    };
    const whole = await openai.chat.completions.create(request);
    const expected = (whole.choices[0]!.message.tool_calls as Json[])[0].function.arguments;
    const stream = await openai.chat.completions.create({ ...request, stream: true });
    let text = "";
    let first: Json;
    let reason: string | null = null;
    for await (const chunk of stream) {
      const [delta] = chunk.choices[0]!.delta.tool_calls ?? [];
      expect(chunk.choices[0]!.delta.content ?? null).toBeNull();
      reason = chunk.choices[0]!.finish_reason ?? reason;
      if (!delta) continue;
      first ??= delta;
      text += delta.function?.arguments ?? "";
    }
    expect(first).toMatchObject({ index: 0, type: "function", function: { name: "weather" } });
    expect(text).toBe(expected);
    expect(reason).toBe("tool_calls");
  });

  test("takes calls and their results back; none calls nothing", async () => {
    const call = { name: "weather", arguments: '{"city":"Paris","days":1}' };
    const reply = await openai.chat.completions.create({
      ...base,
      max_tokens: 8,
      tools,
      tool_choice: "none",
      messages: [
        ...messages,
        { role: "assistant", tool_calls: [{ id: "call_1", type: "function", function: call }] },
        { role: "tool", tool_call_id: "call_1", content: "Rain." },
      ],
    });
    expect(reply.choices[0]!.message.tool_calls).toBeUndefined();
    expect(reply.choices[0]!.message.content!.length).toBeGreaterThan(0);
  });

  test("auto answers in words or calls well", async () => {
    const reply = await openai.chat.completions.create({ ...base, tools });
    const { content, tool_calls } = reply.choices[0]!.message;
    expect(content !== null || tool_calls !== undefined).toBe(true);
  });

  test("tools and a schema at once are a clear 400", async () => {
    const body = { ...base, tools, response_format: { type: "json_object" } };
    const { status, json } = await post(`${server.url}/v1/chat/completions`, body);
    expect(status).toBe(400);
    expect(json.error.param).toBe("tools");
  });
});

describe("other dialects", () => {
  test("Anthropic: any tool, whole and streamed", async () => {
    const client = new Anthropic({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
    const request = {
      model: "tern",
      max_tokens: 200,
      messages,
      top_k: 1,
      tools: [{ name: "weather", description, input_schema: parameters as never }],
      tool_choice: { type: "any" as const, disable_parallel_tool_use: true },
    };
    const reply = await client.messages.create(request);
    expect(reply.stop_reason).toBe("tool_use");
    const use = reply.content.find((block) => block.type === "tool_use")!;
    expect(use.name).toBe("weather");
    expect(Value.Check(weather, use.input)).toBe(true);
    const streamed = await client.messages.stream(request).finalMessage();
    const again = streamed.content.find((block) => block.type === "tool_use")!;
    expect(again.input).toEqual(use.input);
    const after = await client.messages.create({
      ...request,
      tool_choice: { type: "none" },
      max_tokens: 4,
      messages: [
        ...messages,
        { role: "assistant", content: reply.content },
        { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "Rain." }] },
      ],
    });
    expect(after.content[0]!.type).toBe("text");
  });

  test("OpenAI responses: a forced function, whole and streamed", async () => {
    const request = {
      model: "tern",
      input: "What is the weather?",
      temperature: 0,
      tools: [{ type: "function" as const, name: "weather", parameters, strict: true }],
      tool_choice: { type: "function" as const, name: "weather" },
      parallel_tool_calls: false,
      max_output_tokens: 200,
    };
    const reply = await openai.responses.create(request);
    const call = reply.output.find((item) => item.type === "function_call") as Json;
    expect(call.name).toBe("weather");
    expect(isWeather(call.arguments)).toBe(true);
    const events: Json[] = [];
    for await (const event of await openai.responses.create({ ...request, stream: true })) {
      events.push(event);
    }
    const done = events.find((event) => event.type === "response.function_call_arguments.done");
    expect(done.arguments).toBe(call.arguments);
    const deltas = events.filter(
      (event) => event.type === "response.function_call_arguments.delta",
    );
    expect(deltas.map((event) => event.delta).join("")).toBe(call.arguments);
    const next = await openai.responses.create({
      ...request,
      tool_choice: "none",
      max_output_tokens: 4,
      input: [
        { role: "user", content: "What is the weather?" },
        {
          type: "function_call",
          call_id: call.call_id,
          name: "weather",
          arguments: call.arguments,
        },
        { type: "function_call_output", call_id: call.call_id, output: "Rain." },
      ],
    });
    expect(next.output_text.length).toBeGreaterThan(0);
  });

  test("AI SDK: a tool that is run, and its streamed form", async () => {
    const model = createOpenAICompatible({ name: "wf", baseURL: `${server.url}/v1` })("tern");
    const ran: unknown[] = [];
    const own = tool({
      description,
      inputSchema: jsonSchema<{ city: string; days: number }>(parameters),
      execute: async (input) => {
        ran.push(input);
        return "Rain.";
      },
    });
    const result = await generateText({
      model,
      prompt: "The weather?",
      tools: { weather: own },
      toolChoice: "required",
      providerOptions: { wf: { parallel_tool_calls: false } },
      seed: 1,
      maxOutputTokens: 200,
    });
    expect(result.toolCalls.length).toBeGreaterThan(0);
    expect(Value.Check(weather, ran[0])).toBe(true);
    const streamed = streamText({
      model,
      prompt: "The weather?",
      tools: { weather: own },
      toolChoice: "required",
      providerOptions: { wf: { parallel_tool_calls: false } },
      seed: 1,
      maxOutputTokens: 200,
    });
    const [first] = await streamed.toolCalls;
    expect(first!.input).toEqual(result.toolCalls[0]!.input);
  });

  test("Ollama: a schema as format, and json", async () => {
    const client = new Ollama({ host: server.url });
    const options = { seed: 3, num_predict: 200 };
    const reply = await client.chat({ model: "tern", messages, format: parameters, options });
    expect(isWeather(reply.message.content)).toBe(true);
    const any = await client.generate({ model: "tern", prompt: "JSON?", format: "json", options });
    if (any.done_reason === "stop") expect(typeof JSON.parse(any.response ?? "")).toBe("object");
  });
});

describe("structured output", () => {
  const schemas: [name: string, schema: TSchema][] = [
    ["object", weather],
    ["enum", Type.Union(["a", "b", "c"].map((value) => Type.Literal(value)))],
    ["array", Type.Array(Type.Integer({ minimum: 0, maximum: 9 }), { minItems: 2, maxItems: 4 })],
    ["nested", Type.Object({ a: Type.Object({ b: Type.Boolean() }), c: Type.Null() })],
  ];
  for (const [name, schema] of schemas) {
    test(`json_schema: ${name}`, async () => {
      for (const seed of [1, 2, 3]) {
        const reply = await openai.chat.completions.create({
          ...base,
          seed,
          response_format: {
            type: "json_schema",
            json_schema: { name, schema: schema as never, strict: true },
          },
        });
        const [choice] = reply.choices;
        if (choice!.finish_reason === "length") continue;
        expect(Value.Check(schema, JSON.parse(choice!.message.content!))).toBe(true);
      }
    });
  }

  test("grammar, regex and choice on the completion routes", async () => {
    const native = await post(`${server.url}/completion`, {
      prompt: "Once",
      grammar: 'root ::= "x" [0-9]{3} "y"',
      n_predict: 20,
    });
    expect(native.json.content).toMatch(/^x\d{3}y$/);
    expect(native.json.stop_type).toBe("eos");
    const regex = await openai.completions.create({
      model: "tern",
      prompt: "Once",
      max_tokens: 20,
      ...({ guided_regex: "[ab]{4}" } as object),
    });
    expect(regex.choices[0]!.text).toMatch(/^[ab]{4}$/);
    const choice = await openai.completions.create({
      model: "tern",
      prompt: "Once",
      max_tokens: 20,
      ...({ structured_outputs: { choice: ["red", "blue"] } } as object),
    });
    expect(["red", "blue"]).toContain(choice.choices[0]!.text as never);
    const sglang = await post(`${server.url}/generate`, {
      text: "Once",
      sampling_params: { regex: "[0-9]{2}", max_new_tokens: 20 },
    });
    expect(sglang.json.text).toMatch(/^\d{2}$/);
  });
});
