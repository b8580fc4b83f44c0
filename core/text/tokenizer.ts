// Builds the Tokenizer of a model from what its file says: tokenizer.json or GGUF metadata.
import type { TokenizerSource } from "../plugin/loader.ts";
import { ggufParts } from "./gguf-tokenizer.ts";
import { libraryParts } from "./library-tokenizer.ts";
import { TextTokenizer } from "./text-tokenizer.ts";
import type { Tokenizer } from "./types.ts";

/**
 * Builds the tokenizer that a model file describes. Both kinds of sources of one vocabulary give
 * the same ids. Throws `bad_file` or `unsupported` naming the field that does not fit.
 */
export function createTokenizer(source: TokenizerSource): Tokenizer {
  return new TextTokenizer(
    source.kind === "gguf" ? ggufParts(source) : libraryParts(source.tokenizer, source.config),
  );
}
