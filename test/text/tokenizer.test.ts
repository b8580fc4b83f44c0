// Tokenizer: golden cases from tokenizer.json and from GGUF metadata, special tokens, bad sources.
import { afterAll, describe, expect, test } from "bun:test";
import { createTokenizer } from "../../core/text/tokenizer.ts";
import plugin from "../../plugins/gguf/index.ts";
import { ggufSource, goldenCases, huggingFaceSource } from "./sources.ts";

const file = new URL("../fixtures/gguf/tern-i2_s.gguf", import.meta.url).pathname;
const model = await plugin.loaders![0]!.open(file);
afterAll(() => model[Symbol.dispose]());

const sources = {
  "tokenizer.json": huggingFaceSource,
  "GGUF metadata": ggufSource,
  "a GGUF file": model.tokenizer!,
};

for (const [name, source] of Object.entries(sources)) {
  describe(`tokenizer from ${name}`, () => {
    const tokenizer = createTokenizer(source);

    test("golden cases encode and decode exactly", () => {
      expect(goldenCases.length).toBe(352);
      for (const { text, ids, decoded } of goldenCases) {
        expect(tokenizer.encode(text)).toEqual(ids);
        expect(tokenizer.decode(ids, { special: true })).toBe(decoded ?? text);
      }
    });

    test("knows its special tokens", () => {
      expect(tokenizer.vocabularySize).toBe(4096);
      expect(tokenizer.bos).toBe(4080);
      expect(tokenizer.addBos).toBe(true);
      expect([...tokenizer.endTokens].sort()).toEqual([4081, 4088, 4089]);
      expect(tokenizer.id("<|eot_id|>")).toBe(4089);
      expect(tokenizer.id(" a")).toBe(257);
      expect(tokenizer.id("no such token")).toBeUndefined();
      expect(tokenizer.isSpecial(4089)).toBe(true);
      expect(tokenizer.isSpecial(257)).toBe(false);
    });

    test("adds and parses special tokens only where asked", () => {
      expect(tokenizer.encode("a", { addSpecial: true })).toEqual([4080, 64]);
      expect(tokenizer.encode("a<|eot_id|>b")).toEqual([64, 4089, 65]);
      const plain = tokenizer.encode("a<|eot_id|>b", { parseSpecial: false });
      expect(plain).not.toContain(4089);
      expect(tokenizer.decode(plain)).toBe("a<|eot_id|>b");
      expect(tokenizer.decode([64, 4089, 65])).toBe("ab");
    });

    test("bytes of all tokens give the text back", () => {
      const text = "Привет 😀\t\u0000 end";
      const bytes = tokenizer.encode(text).map((id) => tokenizer.bytes(id));
      expect(Buffer.concat(bytes).toString()).toBe(text);
      expect(() => tokenizer.bytes(4096)).toThrow("outside of the vocabulary");
      expect(() => tokenizer.decode([-1])).toThrow("token -1");
    });
  });
}

describe("bad sources", () => {
  const metadata = ggufSource.metadata;
  const gguf = (changes: Record<string, string | number | number[]>) =>
    createTokenizer({ kind: "gguf", metadata: { ...metadata, ...changes } });

  test("are refused with the field's name", () => {
    expect(() => gguf({ "tokenizer.ggml.model": "nope" })).toThrow('"nope"');
    expect(() => gguf({ "tokenizer.ggml.pre": "nope" })).toThrow("tokenizer.ggml.pre");
    expect(() => gguf({ "tokenizer.ggml.tokens": 3 })).toThrow("tokenizer.ggml.tokens");
    expect(() => gguf({ "tokenizer.ggml.merges": 3 })).toThrow("tokenizer.ggml.merges");
    expect(() => gguf({ "tokenizer.ggml.token_type": [1] })).toThrow("token_type");
    expect(() => gguf({ "tokenizer.ggml.bos_token_id": 4096 })).toThrow("bos_token_id");
    expect(() => createTokenizer({ kind: "hf", tokenizer: [], config: {} })).toThrow(
      "tokenizer.json",
    );
    expect(() => createTokenizer({ kind: "hf", tokenizer: { model: {} }, config: {} })).toThrow(
      "tokenizer.json: model.vocab",
    );
  });
});
