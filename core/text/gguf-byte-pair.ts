// Byte-level BPE from GGUF metadata ("gpt2"): tokens and merges without JavaScript strings.
import { WrinkleFreeError } from "../errors.ts";
import type { MetadataValue } from "../plugin/loader.ts";
import { BytePairModel } from "./byte-pair.ts";
import { readMerges, readTokens } from "./byte-pair-build.ts";
import { addedTokens, specialTokens, tokenType, tokenTypes } from "./gguf-fields.ts";
import { type GgufSource, packedStrings } from "./packed-strings.ts";
import { type PreTokenizer, preTokenizers } from "./pre-tokenizers.ts";
import type { TokenizerParts } from "./text-tokenizer.ts";

type Metadata = Readonly<Record<string, MetadataValue>>;

const tokensKey = "tokenizer.ggml.tokens";
const mergesKey = "tokenizer.ggml.merges";

/** Throws `bad_file` naming the key, `unsupported` for an unknown family of pre-tokenizers. */
export function bytePairParts(source: GgufSource): TokenizerParts {
  const { metadata } = source;
  const pre = preTokenizer(metadata);
  const packed = packedStrings(source, tokensKey);
  const types = tokenTypes(metadata, packed.count);
  const table = readTokens(packed, tokensKey, (id) => types?.[id] !== tokenType.control);
  const merges = readMerges(packedStrings(source, mergesKey), mergesKey, table);
  const added = addedTokens(source, types);
  return {
    model: new BytePairModel(table, merges, pre),
    added,
    ...specialTokens(metadata, packed.count, added, pre.addBos ?? false),
  };
}

function preTokenizer(metadata: Metadata): PreTokenizer {
  const name = metadata["tokenizer.ggml.pre"] ?? "default";
  const known = typeof name === "string" && Object.hasOwn(preTokenizers, name);
  if (known) return preTokenizers[name]!;
  throw new WrinkleFreeError("unsupported", `tokenizer.ggml.pre "${name}" is not supported`, {
    field: "tokenizer.ggml.pre",
    hint: `supported: ${Object.keys(preTokenizers).join(", ")}`,
  });
}
