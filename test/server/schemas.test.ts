// Schemas of some 200 tools: what the model answers to each parses and validates, as JSON, and some as a call.
import { afterAll, beforeAll, expect, test } from "bun:test";
import Ajv2020 from "ajv/dist/2020";
import addFormats from "ajv-formats";
import type { RunningServer } from "../../apps/server/serve.ts";
import { tools } from "../grammar/tool-list.ts";
import { type Json, modelPath, post, testServer } from "./support.ts";

let server: RunningServer;
const ajv = addFormats(new Ajv2020({ strict: false }));
const messages = [{ role: "user", content: "Go on." }];

beforeAll(async () => {
  const model = { model: modelPath, contextLength: 2048, threads: 2, maxSequences: 16 };
  server = await testServer({ models: [model] });
});
afterAll(() => server.stop());

type Tool = (typeof tools)[number];

interface Outcome {
  readonly name: string;
  readonly ended: boolean;
  readonly wrong?: string;
}

/** Asks for each tool, 16 at a time; `read` finds the JSON text in the answer. */
async function askAll(
  asked: readonly Tool[],
  body: (tool: Tool) => object,
  read: (choice: Json) => string | undefined,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < asked.length; i = next++) {
      const tool = asked[i]!;
      const request = { messages, seed: i, temperature: 1, max_tokens: 700, ...body(tool) };
      const { status, json } = await post(`${server.url}/v1/chat/completions`, request);
      if (status !== 200) {
        outcomes.push({ name: tool.name, ended: false, wrong: JSON.stringify(json) });
        continue;
      }
      const choice = json.choices[0];
      const text = read(choice);
      const ended = choice.finish_reason !== "length" && text !== undefined;
      const valid = !ended || ajv.validate(tool.parameters, JSON.parse(text));
      outcomes.push({ name: tool.name, ended, ...(!valid && { wrong: text }) });
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return outcomes;
}

function check(outcomes: readonly Outcome[], least: number): void {
  expect(outcomes.filter((outcome) => outcome.wrong !== undefined)).toEqual([]);
  expect(outcomes.length).toBeGreaterThanOrEqual(least);
  // A format such as a URI's has no end of its own: a small model may go on to the limit.
  expect(outcomes.filter((outcome) => !outcome.ended).length).toBeLessThan(5);
}

test("as response_format", async () => {
  const format = ({ name, parameters: schema }: Tool) => ({
    response_format: { type: "json_schema", json_schema: { name, schema, strict: true } },
  });
  check(await askAll(tools, format, (choice) => choice.message.content), 200);
});

test("as a tool that must be called", async () => {
  const call = ({ name, parameters }: Tool) => ({
    tools: [{ type: "function", function: { name, parameters } }],
    tool_choice: "required",
    parallel_tool_calls: false,
  });
  const third = tools.filter((_, i) => i % 3 === 0);
  const read = (choice: Json) => choice.message.tool_calls?.[0]?.function.arguments;
  check(await askAll(third, call, read), 60);
});
