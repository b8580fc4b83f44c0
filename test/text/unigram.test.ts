// Unigram vocabularies with byte fallback, and pre-tokenizers of Falcon-E and MiniCPM5.
import { expect, test } from "bun:test";
import { tokenizerMetadata } from "../../apps/convert/tokenizer-metadata.ts";
import { createTokenizer, type ModelFile } from "../../core/index.ts";
import { ggufSource, goldenCases, huggingFaceSource } from "./sources.ts";

// Ids are those of Hugging Face's tokenizers 0.23.3 (Python) for this vocabulary of 307 pieces.
const { tokenizer, cases } = await Bun.file(
  new URL("../golden/unigram.json", import.meta.url),
).json();
const config = { bos_token: "<s>", eos_token: "</s>", add_bos_token: true };

function inGguf(json: unknown, own: object, size: number) {
  const source = { kind: "hf", tokenizer: json, config: own };
  const metadata = tokenizerMetadata({ tokenizer: source } as unknown as ModelFile, size);
  return { kind: "gguf", metadata } as const;
}

test("text that no piece holds becomes its bytes, as in the original library", () => {
  const own = createTokenizer({ kind: "hf", tokenizer, config });
  expect(cases.length).toBe(15);
  for (const { text, ids, decoded } of cases) {
    expect(own.encode(text)).toEqual(ids);
    expect(own.decode(ids, { special: true })).toBe(decoded);
  }
});

test("a GGUF file of it gives the same ids and the same special tokens", () => {
  const source = inGguf(tokenizer, config, 307);
  expect(source.metadata["tokenizer.ggml.model"]).toBe("t5");
  const own = createTokenizer(source);
  for (const { text, ids } of cases) expect(own.encode(text)).toEqual(ids);
  expect([own.bos, own.eos, [...own.endTokens]]).toEqual([1, 2, [2]]);
  expect(own.encode("the sea", { addSpecial: true })).toEqual([1, 260, 261]);
});

test("bytes are the unknown token where a byte piece is missing", () => {
  const vocab = tokenizer.model.vocab.map(([piece, score]: [string, number]) => [
    piece === "<0xE4>" ? "-" : piece,
    score,
  ]);
  const json = { ...tokenizer, model: { ...tokenizer.model, vocab } };
  const own = createTokenizer({ kind: "hf", tokenizer: json, config });
  expect(own.encode("文")).toEqual([259, 0]);
});

test("a GGUF file whose original tokenizer.json is damaged says so", () => {
  const { metadata } = inGguf(tokenizer, config, 307);
  const damaged = { ...metadata, "tokenizer.huggingface.json": "{" };
  expect(() => createTokenizer({ kind: "gguf", metadata: damaged })).toThrow("is not JSON");
});

test("falcon_e cuts words as Llama 3 does", () => {
  const metadata = { ...ggufSource.metadata, "tokenizer.ggml.pre": "falcon_e" };
  const own = createTokenizer({ kind: "gguf", metadata });
  for (const { text, ids } of goldenCases) expect(own.encode(text)).toEqual(ids);
});

test("minicpm5 is recognized, and cuts digits in threes and words as GPT-2 does", () => {
  const { tokenizer: json, config: own } = huggingFaceSource;
  const pretokenizers = [
    { type: "Split", pattern: { Regex: "\\p{N}{1,3}" }, behavior: "Isolated", invert: false },
    { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
  ];
  const changed = { ...json, pre_tokenizer: { type: "Sequence", pretokenizers } };
  const source = inGguf(changed, own, 4096);
  expect(source.metadata["tokenizer.ggml.pre"]).toBe("minicpm5");
  const fromGguf = createTokenizer(source);
  const fromJson = createTokenizer({ kind: "hf", tokenizer: changed, config: own });
  const words = (text: string) => fromGguf.encode(text).map((id) => fromGguf.decode([id]));
  expect(words("12345678").join("|")).not.toMatch(/\d{4}/);
  for (const { text } of goldenCases) {
    expect(fromGguf.encode(text)).toEqual(fromJson.encode(text));
    expect(fromGguf.decode(fromGguf.encode(text), { special: true })).toBe(text);
  }
});
