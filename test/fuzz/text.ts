// Fuzzes what turns text to tokens and messages to prompts: tokenizer.json and Jinja templates.
import { readFileSync } from "node:fs";
import { namedTemplates } from "../../apps/server/templates.ts";
import { ChatTemplate, createTokenizer } from "../../core/index.ts";
import { type Chance, damageJson, damageText } from "./chance.ts";
import { type Fuzzer, type Input, type Verdict, verdictOf, wrong } from "./fuzzer.ts";

const folder = new URL("../fixtures/tern/hf-packed/", import.meta.url);
const read = (name: string) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
const whole = read("tokenizer.json");
const config = read("tokenizer_config.json");

/** The bytes' own tokens, the first merges and what they make: enough to encode any text. */
const bytePair = {
  ...whole,
  model: {
    ...whole.model,
    vocab: Object.fromEntries(
      Object.entries(whole.model.vocab).filter(([, id]) => (id as number) < 320),
    ),
    merges: whole.model.merges.slice(0, 40),
  },
  added_tokens: whole.added_tokens
    .slice(0, 4)
    .map((token: object, i: number) => ({ ...token, id: 320 + i })),
};

/** SentencePiece's kind, which the library reads. */
const fallback = {
  version: "1.0",
  added_tokens: [{ id: 0, content: "<unk>", special: true }],
  normalizer: {
    type: "Sequence",
    normalizers: [
      { type: "Prepend", prepend: "▁" },
      { type: "Replace", pattern: { String: " " }, content: "▁" },
    ],
  },
  pre_tokenizer: null,
  post_processor: {
    type: "TemplateProcessing",
    single: [{ Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: {},
  },
  decoder: { type: "Sequence", decoders: [{ type: "ByteFallback" }, { type: "Fuse" }] },
  model: {
    type: "BPE",
    byte_fallback: true,
    unk_token: "<unk>",
    vocab: { "<unk>": 0, "▁": 1, a: 2, "▁a": 3, "<0x0A>": 4 },
    merges: ["▁ a"],
  },
};
const unigram = {
  ...fallback,
  model: {
    type: "Unigram",
    unk_id: 0,
    vocab: [
      ["<unk>", 0],
      ["a", -1],
      ["▁a", -2],
    ],
  },
};
const wordPiece = {
  ...fallback,
  normalizer: { type: "BertNormalizer", lowercase: true },
  pre_tokenizer: { type: "BertPreTokenizer" },
  model: {
    type: "WordPiece",
    unk_token: "<unk>",
    continuing_subword_prefix: "##",
    vocab: { "<unk>": 0, a: 1, "##b": 2 },
  },
};

const words = [
  ...["type", "BPE", "Unigram", "WordPiece", "ByteLevel", "Sequence", "Split", "Digits", "Replace"],
  ...[
    "Regex",
    "(a+)+$",
    "(",
    "\\p{L}+|\\s",
    "vocab",
    "merges",
    "unk_token",
    "id",
    "content",
    "special",
  ],
  ...[
    "__proto__",
    "constructor",
    "added_tokens",
    "pattern",
    "NFC",
    "Prepend",
    "Precompiled",
    "pretokenizers",
  ],
];
const samples = [
  "Once upon a time, a b\n",
  "",
  "日本語 \u0000 <unk> <|begin_of_text|>",
  "a".repeat(200),
];

function makeTokenizer(chance: Chance): string {
  const base = structuredClone(chance.pick([bytePair, fallback, unigram, wordPiece]));
  // The vocabulary is most of the file: damage goes to the rest as often.
  if (chance.one(2)) base.model = damageJson(base.model, words, chance) as typeof base.model;
  return JSON.stringify(chance.one(2) ? damageJson(base, words, chance) : base) ?? "null";
}

function checkTokenizer(input: Input): Verdict {
  const tokenizer = JSON.parse(input as string);
  return verdictOf(() => {
    const made = createTokenizer({ kind: "hf", tokenizer, config });
    for (const sample of samples) {
      const ids = made.encode(sample, { addSpecial: true });
      const outside = ids.find(
        (id) => !(Number.isInteger(id) && id >= 0 && id < made.vocabularySize),
      );
      if (outside !== undefined) wrong(`token ${outside} of ${made.vocabularySize}`);
      if (typeof made.decode(ids) !== "string") wrong("decode gives no text");
    }
    for (let id = 0; id < Math.min(40, made.vocabularySize); id++) made.bytes(id);
  });
}

export const tokenizerFuzzer: Fuzzer = {
  ...{ name: "tokenizer.json", share: 2, extension: "json" },
  make: makeTokenizer,
  check: checkTokenizer,
};

const templates: string[] = [
  ...new Set([config.chat_template, ...Object.values(namedTemplates)]),
].filter((template): template is string => typeof template === "string");
const jinja = [
  ...[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{%-",
    "-%}",
    "messages",
    "message",
    "loop",
    "range(9999)",
  ],
  ...["{% for a in messages %}", "{% endfor %}", "{% if messages %}", "{% endif %}", "{% else %}"],
  ...[
    "{% set x = messages %}",
    "{% set ns = namespace(x=1) %}",
    "{% macro f(a) %}",
    "{% endmacro %}",
  ],
  ...[
    "{{ f(1) }}",
    "| tojson",
    "| join('')",
    "| length",
    "| replace('', 'aa')",
    ".items()",
    "[::-1]",
    "* 99999",
  ],
  ...[
    "~ x ~ x",
    "x + x",
    "{% set x = x ~ x %}",
    "'a' * 1000000",
    "raise_exception('no')",
    "constructor",
  ],
  ...[
    "__proto__",
    "{% for i in range(10000) %}",
    "{% call f() %}",
    "{% filter upper %}",
    "is defined",
  ],
  ...[
    "| selectattr('role')",
    "| sort",
    "| indent(100000)",
    "| tojson(indent=1000000)",
    "%",
    "('",
    "')",
  ],
];
const chats = [
  [{ role: "user", content: "Hi" }],
  [
    { role: "system", content: "Be brief." },
    { role: "user", content: "{{ 7 * 7 }}" },
    { role: "assistant", content: "A" },
  ],
];

function makeTemplate(chance: Chance): string {
  if (chance.one(6))
    return Array.from({ length: chance.int(30) }, () => chance.pick(jinja)).join(" ");
  if (chance.one(40)) return chance.pick(jinja).repeat(chance.int(20_000));
  return damageText(chance.pick(templates), jinja, chance);
}

function checkTemplate(input: Input): Verdict {
  return verdictOf(() => {
    const template = new ChatTemplate(input as string, { bosToken: "<s>", eosToken: "</s>" });
    for (const messages of chats) {
      verdictOf(() => {
        const text = template.render(messages);
        if (text.length > 64 << 20) wrong(`${text.length} characters`);
      });
    }
  });
}

export const templateFuzzer: Fuzzer = {
  ...{ name: "template", share: 2, extension: "jinja", make: makeTemplate, check: checkTemplate },
};
