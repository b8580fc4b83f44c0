// Tokenizer parts from GGUF metadata, by the kind that tokenizer.ggml.model names.
import { WrinkleFreeError } from "../errors.ts";
import { bytePairParts } from "./gguf-byte-pair.ts";
import { specialTokens } from "./gguf-fields.ts";
import { libraryParts } from "./library-tokenizer.ts";
import { type GgufSource, packedStrings } from "./packed-strings.ts";
import { preTokenizers } from "./pre-tokenizers.ts";
import { sentencePieceParts } from "./sentence-piece.ts";
import type { TokenizerParts } from "./text-tokenizer.ts";

/** The whole tokenizer.json, in files whose other keys cannot say all of it. */
const originalKey = "tokenizer.huggingface.json";

/** Throws `bad_file` for a field of a wrong type, `unsupported` for an unknown kind. */
export function ggufParts(source: GgufSource): TokenizerParts {
  const kind = source.metadata["tokenizer.ggml.model"];
  const original = source.metadata[originalKey];
  if (typeof original === "string" && !saysAll(source)) return originalParts(source, original);
  if (kind === "gpt2") return bytePairParts(source);
  if (kind === "llama") return sentencePieceParts(source);
  if (typeof kind !== "string") {
    const text = "tokenizer.ggml.model is missing or not a string";
    throw new WrinkleFreeError("bad_file", text, { field: "tokenizer.ggml.model" });
  }
  throw new WrinkleFreeError("unsupported", `tokenizer.ggml.model "${kind}" is not supported`, {
    field: "tokenizer.ggml.model",
    hint: "supported kinds: gpt2, llama",
  });
}

/** Whether GGUF's own keys describe the tokenizer exactly. */
function saysAll({ metadata }: GgufSource): boolean {
  const kind = metadata["tokenizer.ggml.model"];
  const pre = metadata["tokenizer.ggml.pre"];
  const isKnown = typeof pre === "string" && pre !== "default" && Object.hasOwn(preTokenizers, pre);
  return kind === "llama" || (kind === "gpt2" && isKnown);
}

function originalParts(source: GgufSource, text: string): TokenizerParts {
  let tokenizer: unknown;
  try {
    tokenizer = JSON.parse(text);
  } catch (cause) {
    throw new WrinkleFreeError("bad_file", `${originalKey} is not JSON`, {
      field: originalKey,
      cause,
    });
  }
  const parts = libraryParts(tokenizer, {});
  const { count } = packedStrings(source, "tokenizer.ggml.tokens");
  const named = specialTokens(source.metadata, count, parts.added, false);
  return {
    ...parts,
    bos: named.bos ?? parts.bos,
    eos: named.eos ?? parts.eos,
    endTokens: new Set([...parts.endTokens, ...named.endTokens]),
    prefix: parts.prefix.length > 0 ? parts.prefix : named.prefix,
    suffix: parts.suffix.length > 0 ? parts.suffix : named.suffix,
  };
}
