// SentencePiece BPE from GGUF metadata: merges by score against brute force, bytes, spaces.
import { describe, expect, test } from "bun:test";
import { createTokenizer, Random } from "../../core/index.ts";

const random = new Random(1);
const pick = (n: number) => Math.floor(random.double() * n);

/** A vocabulary whose tokens are made by joining others, with random scores, some alike. */
function vocabulary() {
  const bytes = Array.from(
    { length: 256 },
    (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`,
  );
  const texts = [..."\u2581abcdeé", "</x>"];
  while (texts.length < 120) {
    const joined = texts[pick(texts.length)]! + texts[pick(texts.length)]!;
    if (!texts.includes(joined) && joined.length < 9 && !joined.includes("<")) texts.push(joined);
  }
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...texts];
  const types = tokens.map((token, id) => {
    if (id === 0) return 2;
    if (id <= 2) return 3;
    return id < 259 ? 6 : token === "</x>" ? 4 : 1;
  });
  const scores = Float32Array.from(tokens, (_, id) => (id < 259 ? 0 : -pick(60)));
  return { tokens, types, scores };
}

const { tokens, types, scores } = vocabulary();
const metadata = {
  "tokenizer.ggml.model": "llama",
  "tokenizer.ggml.tokens": tokens,
  "tokenizer.ggml.token_type": types,
  "tokenizer.ggml.scores": scores,
  "tokenizer.ggml.bos_token_id": 1,
  "tokenizer.ggml.eos_token_id": 2,
  "tokenizer.ggml.unknown_token_id": 0,
};
const tokenizer = createTokenizer({ kind: "gguf", metadata });

/** Joins the pair of the best score, leftmost first, until there is none. */
function bruteForce(text: string): number[] {
  const plain = new Map(
    tokens.map((token, id) => [token, id] as const).filter(([, id]) => id > 258),
  );
  const parts = Array.from(`\u2581${text.replaceAll(" ", "\u2581")}`);
  for (;;) {
    let best = -1;
    for (let i = 0; i + 1 < parts.length; i++) {
      const id = plain.get(parts[i]! + parts[i + 1]!);
      if (id === undefined || !plain.has(parts[i]!) || !plain.has(parts[i + 1]!)) continue;
      const current = best < 0 ? -Infinity : scores[plain.get(parts[best]! + parts[best + 1]!)!]!;
      if (scores[id]! > current) best = i;
    }
    if (best < 0) break;
    parts.splice(best, 2, parts[best]! + parts[best + 1]!);
  }
  return parts.flatMap((part) => {
    const id = plain.get(part);
    return id === undefined ? [...new TextEncoder().encode(part)].map((byte) => byte + 3) : [id];
  });
}

test("merges as brute force does", () => {
  for (let i = 0; i < 500; i++) {
    const text = Array.from({ length: pick(40) }, () => "aabbcdeé xü"[pick(11)]).join("");
    if (text === "") continue;
    expect([text, tokenizer.encode(text)]).toEqual([text, bruteForce(text)]);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  }
});

describe("what is special", () => {
  test("BOS is added unless the file says no", () => {
    expect(tokenizer.addBos).toBe(true);
    expect(tokenizer.encode("", { addSpecial: true })).toEqual([1]);
    const without = { ...metadata, "tokenizer.ggml.add_bos_token": false };
    expect(createTokenizer({ kind: "gguf", metadata: without }).addBos).toBe(false);
  });

  test("every stretch of text begins with a space, which decoding drops once", () => {
    const ids = tokenizer.encode("a</s>b");
    expect(ids).toContain(2);
    expect(ids.length).toBeGreaterThanOrEqual(3);
    expect(tokenizer.decode(ids)).toBe("a b");
    const plain = { ...metadata, "tokenizer.ggml.add_space_prefix": false };
    const other = createTokenizer({ kind: "gguf", metadata: plain });
    expect(other.decode(other.encode(" a"))).toBe(" a");
    expect(other.decode(other.encode("a"))).toBe("a");
  });

  test("bytes and ids of tokens", () => {
    expect(tokenizer.bytes(3 + 0xe9)).toEqual(Uint8Array.of(0xe9));
    expect(tokenizer.id("a")).toBe(tokens.indexOf("a"));
    expect(tokenizer.id(" ")).toBe(tokens.indexOf("\u2581"));
    expect(tokenizer.encode("x</x>")).toContain(tokens.indexOf("</x>"));
    expect([...tokenizer.endTokens]).toEqual([2]);
  });

  test("scores that do not fit are refused", () => {
    const bad = { ...metadata, "tokenizer.ggml.scores": Float32Array.of(1) };
    expect(() => createTokenizer({ kind: "gguf", metadata: bad })).toThrow("tokenizer.ggml.scores");
  });
});
