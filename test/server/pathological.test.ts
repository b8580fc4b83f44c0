// Grammars and schemas made to cost time or memory: each is refused or followed, and harms nobody beside it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { RunningServer } from "../../apps/server/serve.ts";
import { idle, post, testServer } from "./support.ts";

let server: RunningServer;
beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.stop());

const nest = (levels: number, inner: object, wrap: (schema: object) => object): object =>
  Array.from({ length: levels }).reduce((schema: object) => wrap(schema), inner);
const doubling = Array.from(
  { length: 40 },
  (_, i) => `r${i} ::= r${i + 1} r${i + 1} | r${i + 1}`,
).join("\n");
const manyRules = Array.from({ length: 9000 }, (_, i) => `r${i} ::= "a" r${i + 1}`).join("\n");

/** What a body asks for, and whether it can be had. */
const cases: [name: string, body: object, status: 200 | 400][] = [
  ["a loop of loops", { guided_regex: "((((a*)*)*)*)*b" }, 200],
  ["alternatives that are the same", { guided_regex: `(${"a|".repeat(200)}a)*b` }, 200],
  ["overlapping alternatives", { guided_regex: "(a|aa|aaa|aaaa)*b" }, 200],
  ["a large repetition", { guided_regex: "[a-z]{1,100000}" }, 200],
  ["repetitions of repetitions", { guided_regex: "((a{1,99}){1,99}){1,99}" }, 200],
  ["a hundred groups deep", { guided_regex: `${"(".repeat(120)}a${")?".repeat(120)}` }, 200],
  ["a thousand groups deep", { guided_regex: `${"(".repeat(900)}a${")".repeat(900)}` }, 400],
  ["left recursion", { grammar: 'root ::= root "a" | "a"' }, 400],
  ["left recursion in a circle", { grammar: 'root ::= x\nx ::= y\ny ::= x "a" | "b"' }, 400],
  ["left recursion behind nothing", { grammar: 'root ::= e root "a" | "b"\ne ::= "x"?' }, 400],
  ["rules that double", { grammar: `root ::= r0\n${doubling}\nr40 ::= "a"` }, 400],
  ["too many rules", { grammar: `root ::= r0\n${manyRules}\nr9000 ::= "a"` }, 400],
  ["every way to split a text", { grammar: 'root ::= x x x x x x "!"\nx ::= [a-z]*' }, 200],
  ["a grammar of nothing", { grammar: 'root ::= ""' }, 200],
  [
    "a schema that is its own child",
    { json_schema: { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] } },
    400,
  ],
  [
    "a schema that may be its own child",
    { json_schema: { type: "object", properties: { a: { $ref: "#" } } } },
    200,
  ],
  ["a rule without an end", { grammar: 'root ::= "a" root' }, 400],
  ["a reference to itself", { json_schema: { $ref: "#" } }, 400],
  [
    "a schema as deep as a body may be",
    { json_schema: nest(40, { type: "null" }, (a) => ({ type: "object", properties: { a } })) },
    200,
  ],
  [
    "alternatives of alternatives",
    {
      json_schema: nest(14, { type: "null" }, (a) => ({ anyOf: [a, { type: "array", items: a }] })),
    },
    400,
  ],
  [
    "conjunctions that multiply",
    {
      json_schema: {
        allOf: Array.from({ length: 14 }, (_, i) => ({
          anyOf: [{ required: [`a${i}`] }, { required: [`b${i}`] }],
        })),
      },
    },
    400,
  ],
  ["a long enumeration", { json_schema: { enum: Array.from({ length: 5000 }, (_, i) => i) } }, 200],
  [
    "many properties that may be left out",
    {
      json_schema: {
        properties: Object.fromEntries(
          Array.from({ length: 400 }, (_, i) => [`p${i}`, { type: "integer" }]),
        ),
        additionalProperties: false,
      },
    },
    200,
  ],
  ["an enormous number of items", { json_schema: { items: {}, minItems: 1e9 } }, 200],
  ["a long choice", { guided_choice: Array.from({ length: 5000 }, (_, i) => `word ${i}`) }, 200],
];

describe("each alone", () => {
  for (const [name, body, status] of cases) {
    test(`${name}: ${status}`, async () => {
      const url = `${server.url}/v1/completions`;
      const reply = await post(url, { prompt: "Once", max_tokens: 12, ...body });
      const [param] = Object.keys(body);
      expect([reply.status, reply.json.error?.param]).toEqual([
        status,
        status === 200 ? undefined : param,
      ]);
    });
  }
});

test("all at once, with good requests among them, which get what they always get", async () => {
  const good = { prompt: "Once upon a time", temperature: 0, n_predict: 16 };
  const expected = (await post(`${server.url}/completion`, good)).json.content;
  const bad = cases.map(([, body]) =>
    post(`${server.url}/v1/completions`, { prompt: "Once", max_tokens: 12, ...body }),
  );
  const replies = await Promise.all(
    Array.from({ length: 6 }, () => post(`${server.url}/completion`, good)),
  );
  for (const { json } of replies) expect(json.content).toBe(expected);
  await Promise.all(bad);
  await idle(server);
});

test("text that cannot fit the context is refused before it is tokenized", async () => {
  const text = "a".repeat(1_000_000);
  const messages = [{ role: "user", content: text }];
  for (const [path, body] of [
    ["/completion", { prompt: text }],
    ["/completion", { prompt: [text, text] }],
    ["/completion", { prompt: [[1, text]] }],
    ["/v1/completions", { prompt: text }],
    ["/v1/chat/completions", { messages }],
    ["/generate", { text }],
    ["/api/generate", { model: "tern", prompt: text, raw: true }],
    ["/v1/embeddings", { input: text }],
  ] as const) {
    const { status, json } = await post(server.url + path, body);
    const error = typeof json.error === "string" ? json.error : json.error.message;
    // 256 characters at least for each token: 1,000,000 / 256.
    expect([path, status, error]).toEqual([
      path,
      400,
      expect.stringContaining("request (at least 3907 tokens) exceeds"),
    ]);
  }
});
