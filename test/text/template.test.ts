// Chat templates: golden texts, content parts, tools, continued messages, hostile templates.
import { describe, expect, test } from "bun:test";
import { ChatTemplate, createTokenizer } from "../../core/index.ts";
import { strftime } from "../../core/text/template.ts";
import { ggufSource, goldenChat } from "./sources.ts";

const tern = new ChatTemplate(goldenChat.chat_template, {
  bosToken: "<|begin_of_text|>",
  eosToken: "<|eot_id|>",
});

const render = (source: string, variables: Record<string, unknown> = {}) =>
  new ChatTemplate(source).render([{ role: "user", content: "hi" }], { variables });

test("golden chats give the same text and ids", () => {
  const tokenizer = createTokenizer(ggufSource);
  expect(goldenChat.cases.length).toBe(22);
  for (const { messages, add_generation_prompt, text, ids } of goldenChat.cases) {
    const rendered = tern.render(messages, { addGenerationPrompt: add_generation_prompt });
    expect(rendered).toBe(text);
    expect(tokenizer.encode(rendered)).toEqual(ids);
  }
});

describe("messages", () => {
  const bos = "<|begin_of_text|>";

  test("content parts are joined; other parts are refused by place", () => {
    const content = [
      { type: "text", text: "a" },
      { type: "input_text", text: "b" },
    ];
    expect(tern.render([{ role: "user", content }], { addGenerationPrompt: false })).toBe(
      `${bos}User: a\nb<|eot_id|>`,
    );
    const image = [{ type: "image_url" }];
    expect(() => tern.render([{ role: "user", content: image }])).toThrow("messages[0].content");
  });

  test("the last one can be continued", () => {
    const messages = [
      { role: "user", content: "Name a colour." },
      { role: "assistant", content: "It is " },
    ];
    expect(tern.render(messages, { continueFinalMessage: true })).toBe(
      `${bos}User: Name a colour.<|eot_id|>Assistant: It is`,
    );
    const silent = new ChatTemplate("{{ messages[0].content }}");
    expect(() => silent.render(messages, { continueFinalMessage: true })).toThrow(
      "last message does not appear",
    );
  });

  test("tool calls reach the template with parsed arguments", () => {
    const template = new ChatTemplate(
      "{{ messages[0].tool_calls[0].function.arguments.city }} {{ tools[0].function.name }}",
    );
    const call = { function: { name: "weather", arguments: '{"city": "Oslo"}' } };
    const tools = [{ type: "function", function: { name: "weather" } }] as const;
    const messages = [{ role: "assistant", content: null, tool_calls: [call] }];
    expect(template.render(messages, { tools })).toBe("Oslo weather");
    expect(template.supportsTools).toBe(true);
    expect(tern.supportsTools).toBe(false);
  });

  test("that the template refuses are a bad request with its words", () => {
    expect(() => render("{{ raise_exception('roles must alternate') }}")).toThrow(
      "roles must alternate",
    );
    expect(() => render("x", { range: 3 })).toThrow("range");
  });

  test("variables of the request are seen", () => {
    expect(render("{{ enable_thinking }}", { enable_thinking: false })).toBe("false");
  });
});

describe("hostile templates", () => {
  test("end", () => {
    const nested = `${"{% for a in range(999) %}".repeat(3)}x${"{% endfor %}".repeat(3)}`;
    expect(() => render(nested)).toThrow("too much work");
    expect(() => render("{% for i in range(1000000000) %}x{% endfor %}")).toThrow("range()");
    const double =
      "{% set n = namespace(t='xxxxxxxx') %}{% for i in range(60) %}" +
      "{% set n.t = n.t ~ n.t %}{% endfor %}";
    expect(() => render(double)).toThrow("too long");
    expect(() => render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")).toThrow(
      "cannot be rendered",
    );
  }, 60_000);

  test("are refused when they are opened", () => {
    expect(() => new ChatTemplate("{% if %}", { name: "x.jinja" })).toThrow("x.jinja is no valid");
    expect(() => new ChatTemplate("{{ '".padEnd(600_000, "a"))).toThrow("600000 characters");
  });
});

test("dates are written as strftime does", () => {
  const date = new Date(2026, 6, 4, 9, 5, 7);
  expect(strftime("%d %b %Y, %A %B %-d %H:%M:%S %% %Q", date)).toBe(
    "04 Jul 2026, Saturday July 4 09:05:07 % %Q",
  );
});
