// A byte-level BPE vocabulary of any size, for synthetic model files: every token is plain text.
import type { MetadataValue } from "../../core/index.ts";

const tokenType = { normal: 1, control: 3 } as const;
/** What two- and three-letter tokens are made of, the space (written as U+0120) first. */
const letters = ["\u0120", ...Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))];
const specials = ["<|begin_of_text|>", "<|end_of_text|>"];

/** `tokenizer.*` keys of `size` tokens: bytes, pairs, triples of letters, two control tokens. */
export function syntheticVocabulary(size: number): Record<string, MetadataValue> {
  const tokens = byteLetters();
  const merges: string[] = [];
  for (const [left, right] of pairs(size - specials.length - tokens.length)) {
    merges.push(`${left} ${right}`);
    tokens.push(left + right);
  }
  const types = new Int32Array(size).fill(tokenType.normal);
  for (const special of specials) {
    types[tokens.length] = tokenType.control;
    tokens.push(special);
  }
  return {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "llama-bpe",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.token_type": types,
    "tokenizer.ggml.merges": merges,
    "tokenizer.ggml.bos_token_id": size - 2,
    "tokenizer.ggml.eos_token_id": size - 1,
    "tokenizer.ggml.add_bos_token": true,
  };
}

/** The first `count` merges: letter + letter, then pair + letter. */
function* pairs(count: number): Generator<[string, string]> {
  let left = count;
  const doubles = letters.flatMap((a) => letters.map((b): [string, string] => [a, b]));
  for (const pair of doubles) {
    if (left-- <= 0) return;
    yield pair;
  }
  for (const [a, b] of doubles) {
    for (const c of letters) {
      if (left-- <= 0) return;
      yield [a + b, c];
    }
  }
}

/** GPT-2's letters for the 256 bytes: printable ones stand for themselves. */
function byteLetters(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(printable(byte) ? byte : next++),
  );
}
