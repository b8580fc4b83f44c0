// Own byte-level BPE: the same ids as the library on every script, for every family of words.
import { describe, expect, test } from "bun:test";
import { createTokenizer, type PackedStrings, Random } from "../../core/index.ts";
import { BytePairModel } from "../../core/text/byte-pair.ts";
import { libraryParts } from "../../core/text/library-tokenizer.ts";
import { preTokenizers } from "../../core/text/pre-tokenizers.ts";
import { TextTokenizer } from "../../core/text/text-tokenizer.ts";
import { ggufSource, goldenCases, huggingFaceSource } from "./sources.ts";
import { randomTexts } from "./texts.ts";

const texts = [
  ...goldenCases.map(({ text }) => text),
  ...randomTexts(new Random(7), 1500),
  ...randomTexts(new Random(8), 20, 3000),
];

function own(pre: string, strings?: (key: string) => PackedStrings | undefined) {
  const metadata = { ...ggufSource.metadata, "tokenizer.ggml.pre": pre };
  return createTokenizer({ kind: "gguf", metadata, strings });
}

/** The library on the same vocabulary, cutting words as a family does. */
function library(pre: string): TextTokenizer {
  const { patterns, ignoreMerges, nfc } = preTokenizers[pre]!;
  const json = huggingFaceSource.tokenizer as Record<string, object>;
  const splits = patterns.map((pattern) => ({
    type: "Split",
    pattern: { Regex: pattern },
    behavior: "Isolated",
    invert: false,
  }));
  const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
  const changed = {
    ...json,
    normalizer: nfc ? { type: "NFC" } : null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [...splits, bytes] },
    model: { ...json.model, ignore_merges: ignoreMerges ?? false },
  };
  return new TextTokenizer(libraryParts(changed, {}, false));
}

describe("the same ids as the library", () => {
  for (const pre of Object.keys(preTokenizers)) {
    test(pre, () => {
      const [a, b] = [own(pre), library(pre)];
      for (const text of texts) {
        const ids = a.encode(text);
        if (JSON.stringify(ids) !== JSON.stringify(b.encode(text))) {
          throw new Error(`${JSON.stringify(text)}: ${ids} is not ${b.encode(text)}`);
        }
      }
    }, 60_000);
  }

  test("for texts without spaces, however long", () => {
    const [a, b] = [own("llama-bpe"), library("llama-bpe")];
    const random = new Random(3);
    for (const length of [23, 24, 25, 26, 100, 5000]) {
      const text = Array.from({ length }, () => "etaoinshr"[Math.floor(random.double() * 9)]).join(
        "",
      );
      expect(a.encode(text)).toEqual(b.encode(text));
      expect(a.encode("e".repeat(length))).toEqual(b.encode("e".repeat(length)));
    }
  });
});

test("from tokenizer.json, the same ids as the library", () => {
  const { tokenizer, config } = huggingFaceSource;
  const [a, b] = [libraryParts(tokenizer, config), libraryParts(tokenizer, config, false)];
  expect(a.model).toBeInstanceOf(BytePairModel);
  expect(b.model).not.toBeInstanceOf(BytePairModel);
  for (const text of texts) {
    expect(new TextTokenizer(a).encode(text)).toEqual(new TextTokenizer(b).encode(text));
  }
  expect([a.prefix, a.suffix, a.bos, a.eos]).toEqual([b.prefix, b.suffix, b.bos, b.eos]);
});

test("a tokenizer.json with unknown parts is left to the library", () => {
  const json = huggingFaceSource.tokenizer as Record<string, object>;
  const changes = [
    { normalizer: { type: "Lowercase" } },
    { pre_tokenizer: { type: "Split", pattern: { Regex: "a+" }, behavior: "Isolated" } },
    { pre_tokenizer: { type: "ByteLevel", add_prefix_space: true } },
    { model: { ...json.model, end_of_word_suffix: "</w>" } },
  ];
  for (const change of changes) {
    const { model } = libraryParts({ ...json, ...change }, {});
    expect(model).not.toBeInstanceOf(BytePairModel);
  }
});

test("decode gives the text back", () => {
  const tokenizer = own("qwen35");
  for (const text of texts) {
    const whole = text.normalize("NFC").toWellFormed();
    expect(tokenizer.decode(tokenizer.encode(text), { special: true })).toBe(whole);
  }
});

test("every token has the library's bytes, and is found by its text", () => {
  const [a, b] = [own("llama-bpe"), library("llama-bpe")];
  for (let token = 0; token < a.vocabularySize; token++) {
    expect(a.bytes(token)).toEqual(b.bytes(token));
    const text = Buffer.from(a.bytes(token)).toString();
    if (!text.includes("\ufffd")) expect(a.id(text)).toBe(token);
  }
});

function pack(strings: readonly string[]): PackedStrings {
  const parts = strings.flatMap((string) => {
    const length = Buffer.alloc(8);
    length.writeUInt32LE(Buffer.byteLength(string));
    return [length, Buffer.from(string)];
  });
  return { bytes: Buffer.concat(parts), count: strings.length };
}

describe("packed arrays", () => {
  const packed: Record<string, PackedStrings> = {
    "tokenizer.ggml.tokens": pack(ggufSource.metadata["tokenizer.ggml.tokens"] as string[]),
    "tokenizer.ggml.merges": pack(ggufSource.metadata["tokenizer.ggml.merges"] as string[]),
  };
  const build = (changes: Record<string, PackedStrings>) =>
    own("llama-bpe", (key) => changes[key] ?? packed[key]);

  test("give the same as JavaScript strings", () => {
    const [a, b] = [build({}), own("llama-bpe")];
    for (const text of texts.slice(0, 500)) expect(a.encode(text)).toEqual(b.encode(text));
  });

  test("that are damaged are refused", () => {
    const { bytes, count } = packed["tokenizer.ggml.tokens"]!;
    const key = "tokenizer.ggml.tokens";
    const cut = { [key]: { bytes: bytes.subarray(0, bytes.length - 1), count } };
    expect(() => build(cut)).toThrow("string 4095 is cut off");
    const huge = Uint8Array.from(bytes);
    huge.fill(255, 0, 8);
    expect(() => build({ [key]: { bytes: huge, count } })).toThrow("string 0 is cut off");
    for (const merge of ["no such", "", " ", "a", "a ", "\u0120 \u0120\u0120\u0120x"]) {
      const merges = { "tokenizer.ggml.merges": pack([merge]) };
      expect(() => build(merges)).toThrow("merge 0 does not join two tokens");
    }
  });
});
