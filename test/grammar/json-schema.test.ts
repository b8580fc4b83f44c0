// JSON Schema: what texts match, which schemas are refused and where, and random schemas throughout.
import { describe, expect, test } from "bun:test";
import Ajv2020 from "ajv/dist/2020";
import addFormats from "ajv-formats";
import { checkConstraint, Random } from "../../core/index.ts";
import { factory, matches, walk } from "./helpers.ts";
import { randomSchema } from "./schemas.ts";

const ajv = addFormats(new Ajv2020({ strict: false }));

const cases: [name: string, schema: unknown, pass: unknown[], fail: unknown[]][] = [
  ["anything", true, [1, "a", null, [1, {}], { a: { b: [] } }, true, -1.5e3], []],
  ["boolean and null", { type: ["boolean", "null"] }, [true, false, null], [0, "true"]],
  ["string", { type: "string" }, ["", 'é\n"\\', "😀"], [1, null]],
  ["length", { type: "string", minLength: 2, maxLength: 3 }, ["ab", "é😀!"], ["a", "abcd"]],
  ["pattern", { pattern: '^a[b"\\\\\\n]+$' }, ["ab", 'a"\\\n'], ["a", "abc", "xab"]],
  ["pattern anywhere", { type: "string", pattern: "\\d{2}" }, ["a12b", "12"], ["1", "a1b2"]],
  ["date", { format: "date" }, ["2024-12-31", "1999-02-28"], ["2024-13-01", "2023-02-30", "x"]],
  [
    "date-time",
    { type: "string", format: "date-time" },
    ["2024-06-30T23:59:59Z", "2024-01-01T00:00:00.123+02:00"],
    ["2024-06-31T00:00:00Z", "2024-06-30 23:59:59Z", "2024-06-30T24:00:00Z"],
  ],
  ["uuid", { format: "uuid" }, ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]],
  ["ipv4", { format: "ipv4" }, ["0.10.255.199"], ["256.1.1.1", "1.2.3"]],
  ["email", { format: "email" }, ["a.b@example.com"], ["a@b", "@example.com"]],
  ["uri", { format: "uri" }, ["https://example.com/a?b=c"], ["example.com"]],
  ["integer", { type: "integer" }, [0, -1, 123456], [1.5, "1"]],
  [
    "integer range",
    { type: "integer", minimum: -3, maximum: 12 },
    [-3, 0, 9, 10, 12],
    [-4, 13, 99],
  ],
  ["integer from", { type: "integer", minimum: 95 }, [95, 100, 123456], [94, 9, 0, -95]],
  ["integer to", { type: "integer", exclusiveMaximum: -9 }, [-10, -123], [-9, -8, 0, 5]],
  ["number", { type: "number" }, [0, -1.25, 1e5, 3], ["1"]],
  ["number range", { minimum: 0.5, exclusiveMaximum: 2.25 }, [0.5, 1, 2.2499], [0.49, 2.25, 3, -1]],
  ["enum", { enum: ["a", 1, null, { b: [1] }] }, ["a", 1, null, { b: [1] }], ["b", 2, {}]],
  ["enum with a type", { type: "string", enum: ["a", 1] }, ["a"], [1]],
  ["const", { const: { x: 1 } }, [{ x: 1 }], [{ x: 2 }]],
  [
    "object",
    {
      type: "object",
      properties: { a: { type: "integer" }, b: { type: "string" } },
      required: ["a"],
    },
    [{ a: 1 }, { a: 1, b: "x" }],
    [{}, { b: "x" }, { a: "1" }, { a: 1, c: 2 }, []],
  ],
  [
    "optional members",
    { type: "object", properties: { a: true, b: true, c: true } },
    [{}, { a: 1 }, { b: 1 }, { c: 1 }, { a: 1, c: 2 }, { b: 1, c: 2 }, { a: 1, b: 2, c: 3 }],
    [{ d: 1 }],
  ],
  [
    "other members",
    {
      properties: { ab: { type: "integer" } },
      additionalProperties: { type: "string" },
      required: ["ab"],
    },
    [{ ab: 1 }, { ab: 1, a: "x", abc: "y", "": "z" }],
    [{ ab: "x" }, { ab: 1, c: 2 }],
  ],
  [
    "map",
    { additionalProperties: { type: "integer" }, maxProperties: 2 },
    [{}, { a: 1, b: 2 }],
    [{ a: "x" }, { a: 1, b: 2, c: 3 }],
  ],
  ["required without properties", { required: ["a"] }, [{ a: 1 }, { a: [], b: 2 }], [{}]],
  ["empty object", { type: "object", additionalProperties: false }, [{}], [{ a: 1 }]],
  ["array", { type: "array", items: { type: "integer" } }, [[], [1], [1, 2]], [["a"], {}]],
  [
    "array counts",
    { items: { type: "null" }, minItems: 1, maxItems: 2 },
    [[null], [null, null]],
    [[], [null, null, null]],
  ],
  [
    "tuple",
    {
      prefixItems: [{ type: "integer" }, { type: "string" }],
      items: { type: "null" },
      minItems: 1,
    },
    [[1], [1, "a"], [1, "a", null, null]],
    [[], ["a"], [1, 2], [1, "a", 2]],
  ],
  [
    "closed tuple",
    { prefixItems: [true, true], items: false, minItems: 2 },
    [[1, 2]],
    [[1], [1, 2, 3]],
  ],
  [
    "anyOf",
    { anyOf: [{ type: "integer" }, { type: "string", maxLength: 1 }] },
    [1, "a"],
    ["ab", null],
  ],
  [
    "anyOf beside keywords",
    {
      type: "object",
      properties: { a: { type: "integer" } },
      anyOf: [{ required: ["a"] }, { properties: { b: { const: 1 } }, required: ["b"] }],
    },
    [{ a: 1 }, { b: 1 }, { a: 1, b: 1 }],
    [{}, { b: 2 }],
  ],
  [
    "oneOf with a tag",
    {
      oneOf: [
        { properties: { k: { const: "x" }, n: { type: "integer" } }, required: ["k"] },
        { properties: { k: { const: "y" } }, required: ["k"] },
      ],
    },
    [{ k: "x", n: 1 }, { k: "y" }],
    [{ k: "z" }, { k: "y", n: 1 }],
  ],
  [
    "allOf",
    {
      allOf: [{ $ref: "#/$defs/a" }, { properties: { y: { type: "string" } }, required: ["y"] }],
      $defs: {
        a: { type: "object", properties: { x: { type: "integer", minimum: 0 } }, required: ["x"] },
      },
    },
    [{ x: 0, y: "" }],
    [{ x: 0 }, { y: "" }, { x: -1, y: "" }],
  ],
  [
    "recursion",
    {
      $ref: "#/$defs/node",
      $defs: {
        node: {
          type: "object",
          properties: {
            v: { type: "integer" },
            kids: { type: "array", items: { $ref: "#/$defs/node" } },
          },
          required: ["v"],
        },
      },
    },
    [{ v: 1 }, { v: 1, kids: [{ v: 2, kids: [] }, { v: 3 }] }],
    [{ kids: [] }, { v: 1, kids: [{}] }],
  ],
  [
    "reference to the root",
    { properties: { next: { $ref: "#" } } },
    [{}, { next: { next: {} } }],
    [{ next: 1 }],
  ],
  [
    "reference with escapes",
    { properties: { a: { $ref: "#/$defs/x~1y%20z" } }, $defs: { "x/y z": { const: 1 } } },
    [{ a: 1 }],
    [{ a: 2 }],
  ],
  ["nullable", { type: "string", nullable: true }, ["a", null], [1]],
  [
    "notes",
    {
      type: "integer",
      title: "t",
      description: "d",
      default: 1,
      examples: [2],
      "x-own": 1,
      $schema: "s",
    },
    [1],
    ["a"],
  ],
];

describe("schemas", () => {
  for (const [name, schema, pass, fail] of cases) {
    test(name, () => {
      const source = JSON.stringify(schema);
      const ok = (value: unknown) => matches("json_schema", source, JSON.stringify(value));
      for (const value of pass) expect([value, ok(value)]).toEqual([value, true]);
      for (const value of fail) expect([value, ok(value)]).toEqual([value, false]);
    });
  }

  test("white space between JSON's tokens is allowed, but not without end", () => {
    const source = '{"type": "object", "additionalProperties": {"type": "integer"}}';
    const ok = (text: string) => matches("json_schema", source, text);
    expect(ok('{ "a" : 1 , "b":\n    2\n}')).toBe(true);
    expect(ok('{  "a":1}')).toBe(false);
    expect(ok('{"a":1}\n')).toBe(false);
    expect(ok('{"a":01}')).toBe(false);
    expect(ok('{"a":1,}')).toBe(false);
  });

  test("a member is not hidden behind an escape", () => {
    const source = '{"properties": {"a": {"type": "integer"}}, "additionalProperties": true}';
    expect(matches("json_schema", source, '{"\\u0061": "x"}')).toBe(false);
  });
});

describe("refused schemas", () => {
  const bad: [schema: unknown, message: string][] = [
    [{ type: "array", uniqueItems: true }, '#/uniqueItems: "uniqueItems" is not supported'],
    [{ properties: { a: { not: {} } } }, "#/properties/a/not"],
    [{ items: { multipleOf: 3 } }, "#/items/multipleOf"],
    [{ patternProperties: { "^a": {} } }, "#/patternProperties"],
    [{ if: {}, else: {} }, "#/if"],
    [{ type: "string", format: "regex" }, '#/format: format "regex"'],
    [{ type: "string", pattern: "(?=a)" }, "#/pattern: character"],
    [{ type: "string", pattern: "a", minLength: 1 }, "#/pattern: not supported beside"],
    [{ type: "strnig" }, "#/type"],
    [{ type: "string", minLength: 3, maxLength: 2 }, "#/minLength"],
    [{ type: "string", minLength: -1 }, "#/minLength"],
    [{ type: "array", minItems: 2, maxItems: 1 }, "#/minItems"],
    [{ type: "array", items: [{}] }, "#/items"],
    [{ type: "integer", minimum: 2, maximum: 1 }, "no number"],
    [{ type: "integer", minimum: "2" }, "#/minimum"],
    [{ minimum: 1e300 }, "#/minimum"],
    [{ $ref: "#/$defs/none" }, "#/$ref"],
    [{ $ref: "https://example.com/s" }, "only references within"],
    [{ $ref: "#anchor" }, "only references within"],
    [{ $defs: { a: { $ref: "#/$defs/a" } }, $ref: "#/$defs/a" }, "left recursion"],
    [{ $defs: { a: { allOf: [{ $ref: "#/$defs/a" }] } }, $ref: "#/$defs/a" }, "without end"],
    [{ allOf: [{ type: "string" }, { type: "integer" }] }, "no type is allowed"],
    [{ anyOf: [] }, "#/anyOf"],
    [{ oneOf: [{ type: "integer" }, { type: "number" }] }, "#/oneOf: one value may match both"],
    [{ enum: [] }, "#/enum"],
    [{ enum: ["a"], maxLength: 3 }, '#/maxLength: not supported beside "enum"'],
    [{ properties: { a: false } }, "#/properties/a: no value"],
    [{ properties: 3 }, "#/properties"],
    [{ required: ["a"], additionalProperties: false }, "#/required"],
    ["text", "a schema is an object"],
    [[], "a schema is an object"],
  ];
  for (const [schema, message] of bad) {
    test(JSON.stringify(schema), () => {
      const source = JSON.stringify(schema);
      expect(() => checkConstraint({ kind: "json_schema", source })).toThrow(message);
    });
  }

  test("that are no JSON, or deep, or large", () => {
    const check = (source: string) => () => checkConstraint({ kind: "json_schema", source });
    expect(check("{")).toThrow("json_schema: it is no JSON");
    expect(check(`${'{"items":'.repeat(60_000)}{}${"}".repeat(60_000)}`)).toThrow();
    expect(check(`${'{"items":'.repeat(100)}{}${"}".repeat(100)}`)).toThrow("nested more than");
    const doubling = Array.from({ length: 40 }, (_, i) => [
      `d${i}`,
      { allOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] },
    ]);
    const defs = { ...Object.fromEntries(doubling), d40: { type: "string" } };
    const started = performance.now();
    try {
      check(JSON.stringify({ $ref: "#/$defs/d0", $defs: defs }))();
    } catch (error) {
      expect(String(error)).toContain("JSON schema");
    }
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe("bounds of numbers", () => {
  test("allow exactly what lies between them", () => {
    const random = new Random(4);
    const pick = (n: number) => Math.floor(random.double() * n);
    const number = () => Number((random.double() * 10 ** pick(4) - 10 ** pick(3)).toFixed(pick(4)));
    for (let round = 0; round < 120; round++) {
      const [a, b] = [number(), number()].sort((x, y) => x - y) as [number, number];
      const schema: Record<string, unknown> = { type: round % 3 === 0 ? "integer" : "number" };
      if (round % 5 !== 1) schema[round % 2 ? "minimum" : "exclusiveMinimum"] = a;
      if (round % 5 !== 2) schema[round % 4 < 2 ? "maximum" : "exclusiveMaximum"] = b;
      const source = JSON.stringify(schema);
      const validate = ajv.compile(schema);
      const values = [a, b, a + 0.001, a - 0.001, b + 0.001, b - 0.001, 0, (a + b) / 2];
      for (let i = 0; i < 12; i++) values.push(number());
      for (const value of [...values, ...values.map(Math.round)]) {
        const text = String(Number(value.toFixed(6)));
        let got = false;
        try {
          got = matches("json_schema", source, text);
        } catch (error) {
          expect(String(error)).toContain("no number");
        }
        expect([source, text, got]).toEqual([source, text, validate(Number(text))]);
      }
    }
  });
});

test("texts drawn through the masks of 200 random schemas validate", () => {
  const random = new Random(9);
  let complete = 0;
  for (let i = 0; i < 200; i++) {
    const schema = randomSchema(random);
    const source = JSON.stringify(schema);
    const validate = ajv.compile(schema as object);
    const text = walk(factory.create({ kind: "json_schema", source }), random, 600);
    if (text === undefined) continue;
    complete++;
    const value = JSON.parse(text);
    if (!validate(value))
      throw new Error(`${text} for ${source}: ${ajv.errorsText(validate.errors)}`);
  }
  expect(complete).toBeGreaterThan(150);
}, 60_000);
