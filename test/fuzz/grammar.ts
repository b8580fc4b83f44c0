// Fuzzes the notations of constraints: JSON Schema, GBNF, regular expressions.
import Ajv from "ajv/dist/2020.js";
import { Matcher } from "../../core/grammar/matcher.ts";
import { compile } from "../../core/grammar/program.ts";
import { parseSource } from "../../core/grammar/source.ts";
import { checkConstraint } from "../../core/index.ts";
import { Chance, damageJson, damageText } from "./chance.ts";
import { type Fuzzer, type Input, type Verdict, verdictOf, wrong } from "./fuzzer.ts";

/** A text of the grammar, by choosing bytes that may follow; undefined where it gets too long. */
function sample(kind: "gbnf" | "json_schema" | "regex", source: string): Buffer | undefined {
  const matcher = new Matcher(compile(parseSource({ kind, source })));
  const chance = new Chance(Bun.hash.crc32(source));
  const { representatives } = matcher.program;
  const bytes: number[] = [];
  let state = matcher.start;
  while (bytes.length < 200) {
    if (state.accepts && (state.items.length === 0 || chance.one(4))) return Buffer.from(bytes);
    const byte = chance.pick(representatives);
    const next = [byte, ...representatives].find((b) => matcher.step(state, b) !== null);
    if (next === undefined) return undefined;
    bytes.push(next);
    state = matcher.step(state, next)!;
  }
  return undefined;
}

const schemas: unknown[] = [
  {
    type: "object",
    properties: {
      a: { type: "integer", minimum: 0, maximum: 99 },
      b: { type: "string", maxLength: 5 },
    },
    required: ["a"],
    additionalProperties: false,
  },
  { type: "array", items: { type: "number" }, minItems: 1, maxItems: 3 },
  { anyOf: [{ const: 1 }, { enum: ["x", null, true] }], title: "t" },
  {
    $ref: "#/$defs/node",
    $defs: { node: { type: "object", properties: { next: { $ref: "#/$defs/node" } } } },
  },
  { allOf: [{ type: "string", pattern: "^[a-z]+$" }, { minLength: 1 }] },
  { type: "string", format: "date-time" },
  { type: ["string", "null"], enum: ["a", null] },
  { oneOf: [{ type: "integer" }, { type: "string" }] },
  { type: "array", prefixItems: [{ type: "boolean" }], items: false },
];
const keywords = [
  ...[
    "type",
    "properties",
    "required",
    "items",
    "anyOf",
    "oneOf",
    "allOf",
    "$ref",
    "$defs",
    "enum",
    "const",
  ],
  ...[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
  ],
  ...[
    "pattern",
    "format",
    "additionalProperties",
    "prefixItems",
    "minProperties",
    "maxProperties",
    "nullable",
  ],
  ...[
    "object",
    "array",
    "string",
    "integer",
    "number",
    "#",
    "#/$defs/node",
    "#/properties/a",
    "^a{3,1}$",
    "(a|b)*",
  ],
  ...["__proto__", "constructor", "date", "uuid", "email", "ipv4", "not", "if"],
];

function makeSchema(chance: Chance): string {
  if (chance.one(500)) return bomb(chance);
  const schema = structuredClone(chance.pick(schemas));
  if (chance.one(4))
    return JSON.stringify({ allOf: [schema, structuredClone(chance.pick(schemas))] });
  return JSON.stringify(damageJson(schema, keywords, chance)) ?? "true";
}

/** Schemas that grow when they are taken apart. */
function bomb(chance: Chance): string {
  const depth = 2 + chance.int(60);
  const combine = chance.pick(["allOf", "anyOf", "oneOf"]);
  const defs: Record<string, unknown> = { a0: { type: "integer" } };
  for (let i = 1; i < depth; i++) {
    const $ref = `#/$defs/a${i - 1}`;
    const inner = chance.one(3)
      ? [{ $ref }, { $ref, title: "x" }, { minimum: i }]
      : [{ $ref }, { $ref }];
    defs[`a${i}`] = { [combine]: inner, ...(chance.one(3) ? { maximum: 100 } : {}) };
  }
  const root = { $ref: `#/$defs/a${depth - 1}`, $defs: defs };
  if (chance.one(2)) return JSON.stringify(root);
  let nested: unknown = { type: "string" };
  const open = chance.pick(["items", "additionalProperties", "allOf", "anyOf"]);
  for (let i = chance.int(3000); i > 0; i--)
    nested = { [open]: /Of/.test(open) ? [nested] : nested };
  return JSON.stringify(nested);
}

const ajv = new Ajv({ strict: false, validateFormats: false, logger: false, ownProperties: true });

function checkSchema(input: Input): Verdict {
  const source = input as string;
  return verdictOf(() => {
    checkConstraint({ kind: "json_schema", source });
    const text = sample("json_schema", source);
    // Ajv takes longer than all else: it judges a part of them.
    if (text === undefined || source.length > 4000 || Bun.hash.crc32(source) % 4 > 0) return;
    let value: unknown;
    try {
      value = JSON.parse(text.toString());
    } catch {
      wrong(`${source} makes ${text}, which is no JSON`);
    }
    const schema = JSON.parse(source);
    let validate: (value: unknown) => boolean;
    try {
      validate = ajv.compile(schema);
    } catch {
      return; // What Ajv does not read proves nothing.
    } finally {
      ajv.removeSchema();
    }
    if (!validate(value)) wrong(`${source} makes ${text}`);
  });
}

export const schemaFuzzer: Fuzzer = {
  ...{ name: "JSON schema", share: 2, extension: "schema", make: makeSchema, check: checkSchema },
};

const grammars = [
  'root ::= "a" | "b" root\n',
  'root ::= item+ ("," item){0,3}\nitem ::= [a-z0-9]{2,4} | [^\\n]\n',
  'root ::= ws object\nobject ::= "{" ws (pair ("," ws pair)*)? "}"\npair ::= string ":" ws\nstring ::= "\\"" [^"\\\\]* "\\""\nws ::= [ \\t\\n]*\n',
  "root ::= <think> (!</think>)* </think> <[5]>\n",
];
const gbnf = [
  ...[
    "root",
    "::=",
    '"a"',
    "[a-z]",
    "[^\\n]",
    "(",
    ")",
    "*",
    "+",
    "?",
    "{2}",
    "{3,1}",
    "{0,100000}",
    "{1000,}",
  ],
  ...[
    "|",
    "\n",
    "# x\n",
    "<[5]>",
    "!<a>",
    "\\x41",
    "\\U0010ffff",
    "item",
    "root ::= root\n",
    "item ::= item item\n",
  ],
  ...['""', "()", '("")*', "[]", "[^]", ".", "{", "}", "\\", '"', "a ::= b\nb ::= a\n"],
];

function makeGrammar(chance: Chance): string {
  if (chance.one(500)) return grammarBomb(chance);
  if (chance.one(8))
    return `root ::= ${Array.from({ length: chance.int(20) }, () => chance.pick(gbnf)).join(" ")}`;
  return damageText(chance.pick(grammars), gbnf, chance);
}

function grammarBomb(chance: Chance): string {
  const count = chance.int(4000);
  switch (chance.int(5)) {
    case 0:
      return `root ::= ${"(".repeat(count)}"a"${")".repeat(count)}`;
    case 1: {
      const rules = Array.from({ length: count }, (_, i) => `r${i} ::= r${i + 1} r${i + 1}`);
      return `root ::= r0\n${rules.join("\n")}\nr${count} ::= ${chance.pick(['"a"', '""', "r0?"])}\n`;
    }
    case 2:
      return `root ::= ${Array.from({ length: 4000 }, (_, i) => `[\\u${(i + 4096).toString(16)}-\\uffff]`).join("|")}`;
    case 3:
      return `root ::= "a"${"{0,1000}".repeat(1 + chance.int(40))}`;
    default:
      return `root ::= ${'("a" | "a"? '.repeat(count % 150)}${")*".repeat(count % 150)}`;
  }
}

/** Reads a source and walks along a text of it, which must lead to its end. */
function walk(kind: "gbnf" | "regex", source: string, judge: (text: Buffer) => void): Verdict {
  return verdictOf(() => {
    checkConstraint({ kind, source });
    const text = sample(kind, source);
    if (text !== undefined) judge(text);
  });
}

export const gbnfFuzzer: Fuzzer = {
  ...{ name: "GBNF", share: 2, extension: "gbnf", make: makeGrammar },
  check: (input) => walk("gbnf", input as string, () => {}),
};

const expressions = [
  "^[a-z]+(-[0-9]{2,4})?$",
  "(foo|bar)*baz",
  "\\d{3}\\.\\w+|\\s",
  "a(b(c(d)?)?)?",
  "[^\\x00-\\x1f]+",
];
const regex = [
  ...[
    "(",
    ")",
    "(?:",
    "(?<n>",
    "(?=",
    "[",
    "]",
    "[^",
    "{2,1}",
    "{0,99999}",
    "*",
    "+",
    "?",
    "|",
    "^",
    "$",
    ".",
  ],
  ...[
    "\\d",
    "\\u{1F600}",
    "\\x41",
    "\\b",
    "\\1",
    "\\",
    "a-z",
    "(a*)*",
    "(a|a)*",
    "{1000}",
    "[\\d-z]",
    "(){5}",
  ],
];

function makeRegex(chance: Chance): string {
  if (chance.one(100)) return chance.pick(regex).repeat(chance.int(5000));
  if (chance.one(8))
    return Array.from({ length: chance.int(16) }, () => chance.pick(regex)).join("");
  return damageText(chance.pick(expressions), regex, chance);
}

function checkRegex(input: Input): Verdict {
  const source = input as string;
  return walk("regex", source, (text) => {
    if (!source.isWellFormed() || source.length > 200 || text.length > 60) return;
    // JavaScriptCore takes an escaped astral character, which it should refuse, for something else.
    if (/\\[^\0-\x7f]/.test(source)) return;
    const decoded = text.toString();
    let own: RegExp;
    try {
      own = new RegExp(`^(?:${source.replace(/^\^/, "").replace(/\$$/, "")})$`, "u");
    } catch {
      return; // Notations that only the other one has prove nothing.
    }
    if (!own.test(decoded)) wrong(`${JSON.stringify(decoded)} does not match ${source}`);
  });
}

export const regexFuzzer: Fuzzer = {
  ...{ name: "regex", share: 1, extension: "regex", make: makeRegex, check: checkRegex },
};
