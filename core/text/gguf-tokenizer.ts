// Tokenizer parts from GGUF metadata, by the kind that tokenizer.ggml.model names.
import { WrinkleFreeError } from "../errors.ts";
import { bytePairParts } from "./gguf-byte-pair.ts";
import type { GgufSource } from "./packed-strings.ts";
import { sentencePieceParts } from "./sentence-piece.ts";
import type { TokenizerParts } from "./text-tokenizer.ts";

/** Throws `bad_file` for a field of a wrong type, `unsupported` for an unknown kind. */
export function ggufParts(source: GgufSource): TokenizerParts {
  const kind = source.metadata["tokenizer.ggml.model"];
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
