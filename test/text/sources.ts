// The test model's tokenizer, as tokenizer.json and as the metadata of its GGUF file.
import type { MetadataValue, TokenizerSource } from "../../core/index.ts";

const folder = new URL("../fixtures/tern/hf-packed/", import.meta.url);
const golden = new URL("../golden/tern/", import.meta.url);

const read = (url: URL) => Bun.file(url).json();

const tokenizerJson = await read(new URL("tokenizer.json", folder));

export const huggingFaceSource = {
  kind: "hf",
  tokenizer: tokenizerJson,
  config: await read(new URL("tokenizer_config.json", folder)),
} satisfies TokenizerSource;

/** The same as GGUF metadata, as llama.cpp's converter writes it. */
export const ggufSource = {
  kind: "gguf",
  metadata: toMetadata(tokenizerJson),
} satisfies TokenizerSource;

interface GoldenCase {
  readonly text: string;
  readonly ids: number[];
  readonly decoded?: string;
}

export const goldenCases: GoldenCase[] = (await read(new URL("tokenizer.json", golden))).cases;
export const goldenChat = await read(new URL("chat.json", golden));

interface TokenizerJson {
  model: { vocab: Record<string, number>; merges: (string | string[])[] };
  added_tokens: { id: number; content: string; special: boolean }[];
}

function toMetadata({ model, added_tokens }: TokenizerJson): Record<string, MetadataValue> {
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token;
  for (const { id, content } of added_tokens) tokens[id] = content;
  const types = new Array<number>(tokens.length).fill(1);
  for (const { id, special } of added_tokens) types[id] = special ? 3 : 4;
  return {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "llama-bpe",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.token_type": types,
    "tokenizer.ggml.merges": model.merges.map((m) => (Array.isArray(m) ? m.join(" ") : m)),
    "tokenizer.ggml.bos_token_id": 4080,
    "tokenizer.ggml.eos_token_id": 4089,
  };
}
