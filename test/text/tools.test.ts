// Tool calls: what the model is told and held to, and reading its answers however they are cut.
import { describe, expect, test } from "bun:test";
import {
  checkConstraint,
  messagesWithoutTools,
  planTools,
  Random,
  type Tool,
  ToolCallParser,
  type ToolEvent,
} from "../../core/index.ts";
import { factory, matches, walk } from "../grammar/helpers.ts";

const weather: Tool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Weather of a city.",
    parameters: {
      type: "object",
      properties: {
        city: { type: "string", maxLength: 12 },
        days: { type: "integer", minimum: 1, maximum: 9 },
      },
      required: ["city"],
    },
  },
};
const clock: Tool = { type: "function", function: { name: "now" } };
const tools = [weather, clock];
const tags = { open: "<tool_call>", close: "</tool_call>" };
const names = ["get_weather", "now"];

const qwen = "{% if tools %}<tool_call>{% endif %}";
const llama =
  '{% if tools %}{"name": function name, "parameters": dictionary of argument name}{% endif %}';

/** Events of an answer, pushed in pieces of random lengths. */
function read(text: string, parser: ToolCallParser, random?: Random): ToolEvent[] {
  const events: ToolEvent[] = [];
  for (let at = 0; at < text.length; ) {
    const length = random === undefined ? text.length : 1 + Math.floor(random.double() * 5);
    events.push(...parser.push(text.slice(at, at + length)));
    at += length;
  }
  events.push(...parser.finish());
  const whole: ToolEvent[] = [];
  for (const event of events) {
    const last = whole.at(-1);
    if (last?.type === event.type && event.type !== "call" && last.type !== "call") {
      whole[whole.length - 1] = { ...last, text: last.text + event.text };
    } else whole.push(event);
  }
  return whole;
}

const text = (text: string): ToolEvent => ({ type: "text", text });
const call = (index: number, name: string, json: string): ToolEvent[] => [
  { type: "call", index, name },
  { type: "arguments", index, text: json },
];

describe("answers", () => {
  const tagged: [answer: string, events: ToolEvent[]][] = [
    ["Just text with < and {.", [text("Just text with < and {.")]],
    [
      'Let me see.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
      [text("Let me see."), ...call(0, "get_weather", '{"city": "Oslo"}')],
    ],
    [
      '<tool_call>{"name": "now", "arguments": {}}</tool_call>\n<tool_call>{"name": "get_weather", "arguments": {"a": [{}, "}\\"]"]}}</tool_call>',
      [...call(0, "now", "{}"), ...call(1, "get_weather", '{"a": [{}, "}\\"]"]}')],
    ],
    [
      '<tool_call>{"arguments": {"x": 1}, "name": "now"}</tool_call> done',
      [...call(0, "now", '{"x":1}'), text("done")],
    ],
    ['<tool_call>{"name": "now"}</tool_call>', call(0, "now", "{}")],
    [
      '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
      [text('<tool_call>{"name": "rm", "arguments": {}}</tool_call>')],
    ],
    ["<tool_call>no JSON</tool_call>!", [text("<tool_call>no JSON</tool_call>!")]],
    ['<tool_call>{"name": "\\q", ', [text('<tool_call>{"name": "\\q", ')]],
    ["a <tool_", [text("a <tool_")]],
    ['<tool_call>{"name": "now", "arguments": {"cut', call(0, "now", '{"cut')],
    ["text\n\n", [text("text\n\n")]],
  ];

  test("with tags, however they are cut", () => {
    const random = new Random(1);
    for (const [answer, events] of tagged) {
      expect(read(answer, new ToolCallParser(names, tags))).toEqual(events);
      for (let i = 0; i < 20; i++) {
        expect(read(answer, new ToolCallParser(names, tags), random)).toEqual(events);
      }
    }
  });

  test("without tags", () => {
    const bare: [string, ToolEvent[]][] = [
      ['{"name": "now", "parameters": {"zone": "UTC"}}', call(0, "now", '{"zone": "UTC"}')],
      ['\n{"parameters": {}, "name": "now"}', call(0, "now", "{}")],
      ['{"name": "other", "parameters": {}}', [text('{"name": "other", "parameters": {}}')]],
      ['{"a": 1', [text('{"a": 1')]],
      ["Text {", [text("Text {")]],
    ];
    const random = new Random(2);
    for (const [answer, events] of bare) {
      for (let i = 0; i < 10; i++) {
        expect(read(answer, new ToolCallParser(names, undefined), random)).toEqual(events);
      }
    }
  });

  test("arguments are given out as they come", () => {
    const parser = new ToolCallParser(names, tags);
    expect(parser.push('<tool_call>{"name": "now", "argum')).toEqual([]);
    expect(parser.push('ents": {"a"')).toEqual(call(0, "now", '{"a"'));
    expect(parser.push(": 1")).toEqual([{ type: "arguments", index: 0, text: ": 1" }]);
    expect(parser.push("}}</tool_call>")).toEqual([{ type: "arguments", index: 0, text: "}" }]);
    expect(parser.finish()).toEqual([]);
    expect(parser.calls).toBe(1);
  });
});

describe("plans", () => {
  test("tell what the template does not", () => {
    const plan = planTools({ tools, template: "{{ messages }}" });
    expect(plan.templateShowsTools).toBe(false);
    expect(plan.instructions).toContain('{"name":"get_weather","description":"Weather of a city."');
    expect(plan.instructions).toContain("<tool_call>");
    expect(plan.constraint?.lazy).toEqual({ triggers: ["<tool_call>"] });
    const shown = planTools({ tools, template: qwen });
    expect(shown.templateShowsTools).toBe(true);
    expect(shown.instructions).toBeUndefined();
  });

  test("are none without tools, or where none may be called", () => {
    expect(planTools({ tools: [], template: qwen }).parser).toBeUndefined();
    const none = planTools({ tools, choice: "none", template: qwen });
    expect([none.parser, none.constraint]).toEqual([undefined, undefined]);
    const choice = { name: "nope" };
    expect(() => planTools({ tools, choice, template: qwen })).toThrow('no tool "nope"');
  });

  test("hold a required call to its schema", () => {
    const { constraint } = planTools({ tools, choice: "required", template: qwen });
    const ok = (t: string) => matches("tool_calls", constraint!.source, t);
    expect(constraint!.lazy).toBeUndefined();
    expect(
      ok(
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n</tool_call>',
      ),
    ).toBe(true);
    expect(
      ok(
        '<tool_call>{"name": "now", "arguments": {}}</tool_call>\n<tool_call>{"name": "now", "arguments": {}}</tool_call>',
      ),
    ).toBe(true);
    expect(ok('<tool_call>{"name": "get_weather", "arguments": {}}</tool_call>')).toBe(false);
    expect(ok('<tool_call>{"name": "rm", "arguments": {}}</tool_call>')).toBe(false);
    expect(ok("Hello")).toBe(false);
    const single = planTools({ tools, choice: { name: "now" }, parallel: false, template: llama });
    const bare = (t: string) => matches("tool_calls", single.constraint!.source, t);
    expect(bare('{"name": "now", "parameters": {}}')).toBe(true);
    expect(bare('{"name": "get_weather", "parameters": {"city": ""}}')).toBe(false);
  });

  test("a schema that is not supported is refused where it is strict, else loosened", () => {
    const made = (strict: boolean): Tool => ({
      type: "function",
      function: { name: "f", strict, parameters: { properties: { a: { not: {} } } } },
    });
    const check = (strict: boolean) => () =>
      checkConstraint(
        planTools({ tools: [made(strict)], choice: "required", template: qwen }).constraint!,
      );
    expect(check(true)).toThrow("tools[0].function.parameters/properties/a/not");
    expect(check(false)).not.toThrow();
  });

  test("schemas of different tools do not mix their definitions", () => {
    const make = (name: string, type: string): Tool => ({
      type: "function",
      function: {
        name,
        parameters: {
          properties: { x: { $ref: "#/$defs/d" } },
          required: ["x"],
          $defs: { d: { type } },
        },
      },
    });
    const both = [make("a", "integer"), make("b", "boolean")];
    const { constraint } = planTools({ tools: both, choice: "required", template: llama });
    const ok = (t: string) => matches("tool_calls", constraint!.source, t);
    expect(ok('{"name": "a", "parameters": {"x": 1}}')).toBe(true);
    expect(ok('{"name": "b", "parameters": {"x": true}}')).toBe(true);
    expect(ok('{"name": "b", "parameters": {"x": 1}}')).toBe(false);
  });

  test("what masks let through is read as calls", () => {
    const plan = planTools({ tools, choice: "required", template: "" });
    const random = new Random(6);
    for (let i = 0; i < 15; i++) {
      const answer = walk(factory.create(plan.constraint!), random, 400);
      if (answer === undefined) continue;
      const events = read(answer, plan.parser!(), random);
      expect(events.some((event) => event.type === "text")).toBe(false);
      for (const event of events) if (event.type === "arguments") JSON.parse(event.text);
    }
  });
});

test("messages for a template without tools hold calls and results as text", () => {
  const messages = [
    { role: "user", content: "Time?" },
    {
      role: "assistant",
      content: null,
      tool_calls: [{ function: { name: "now", arguments: "" } }],
    },
    { role: "tool", content: "12:00", tool_call_id: "1" },
  ];
  expect(messagesWithoutTools(messages, "Call!")).toEqual([
    { role: "system", content: "Call!" },
    { role: "user", content: "Time?" },
    { role: "assistant", content: '<tool_call>{"name": "now", "arguments": {}}</tool_call>' },
    { role: "user", content: "<tool_response>12:00</tool_response>" },
  ]);
  const system = [{ role: "system", content: "Be brief." }];
  expect(messagesWithoutTools(system, "Call!")[0]!.content).toBe("Be brief.\n\nCall!");
});
