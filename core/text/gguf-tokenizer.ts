// Tokenizer parts from GGUF metadata: tokenizer.ggml.{model, pre, tokens, merges, scores ...}.
import { WrinkleFreeError } from "../errors.ts";
import type { MetadataValue } from "../plugin/loader.ts";
import type { AddedToken } from "./added-tokens.ts";
import { endTokensByName } from "./end-tokens.ts";
import { libraryParts } from "./library-tokenizer.ts";
import { type PreTokenizer, preTokenizers } from "./pre-tokenizers.ts";
import type { TokenizerParts } from "./text-tokenizer.ts";

type Metadata = Readonly<Record<string, MetadataValue>>;

/** llama.cpp's token types that matter here. */
const control = 3;
const userDefined = 4;

/** Throws `bad_file` for a field of a wrong type, `unsupported` for an unknown kind. */
export function ggufParts(metadata: Metadata): TokenizerParts {
  const kind = text(metadata, "tokenizer.ggml.model");
  if (kind === "gpt2") return byteLevelParts(metadata);
  throw new WrinkleFreeError("unsupported", `tokenizer.ggml.model "${kind}" is not supported`, {
    field: "tokenizer.ggml.model",
    hint: "supported kinds: gpt2",
  });
}

function byteLevelParts(metadata: Metadata): TokenizerParts {
  const tokens = texts(metadata, "tokenizer.ggml.tokens");
  const pre = preTokenizer(metadata);
  const added = addedTokens(metadata, tokens);
  const parts = libraryParts(
    {
      added_tokens: added,
      normalizer: pre.nfc ? { type: "NFC" } : null,
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [
          ...pre.patterns.map((pattern) => ({
            type: "Split",
            pattern: { Regex: pattern },
            behavior: "Isolated",
            invert: false,
          })),
          { type: "ByteLevel", add_prefix_space: false, use_regex: false },
        ],
      },
      post_processor: null,
      decoder: { type: "ByteLevel" },
      model: {
        type: "BPE",
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: texts(metadata, "tokenizer.ggml.merges"),
        ignore_merges: pre.ignoreMerges ?? false,
      },
    },
    {},
  );
  return { ...parts, ...specials(metadata, tokens.length, added, pre.addBos ?? false) };
}

function preTokenizer(metadata: Metadata): PreTokenizer {
  const name = metadata["tokenizer.ggml.pre"] ?? "default";
  const found = typeof name === "string" ? preTokenizers[name] : undefined;
  if (found !== undefined) return found;
  throw new WrinkleFreeError("unsupported", `tokenizer.ggml.pre "${name}" is not supported`, {
    field: "tokenizer.ggml.pre",
    hint: `supported: ${Object.keys(preTokenizers).join(", ")}`,
  });
}

/** Control and user-defined tokens: those that are looked for in the text itself. */
function addedTokens(metadata: Metadata, tokens: readonly string[]): AddedToken[] {
  const types = metadata["tokenizer.ggml.token_type"];
  const added: AddedToken[] = [];
  if (types === undefined) return added;
  const list = types as ArrayLike<number>;
  if (typeof types === "string" || list.length !== tokens.length) {
    throw new WrinkleFreeError("bad_file", "tokenizer.ggml.token_type does not fit the tokens", {
      field: "tokenizer.ggml.token_type",
    });
  }
  for (let id = 0; id < tokens.length; id++) {
    const type = list[id];
    if (type === control || type === userDefined) {
      added.push({ id, content: tokens[id]!, special: type === control });
    }
  }
  return added;
}

function specials(
  metadata: Metadata,
  size: number,
  added: readonly AddedToken[],
  addBosDefault: boolean,
): Pick<TokenizerParts, "prefix" | "suffix" | "bos" | "eos" | "endTokens"> {
  const token = (name: string) => tokenId(metadata, `tokenizer.ggml.${name}_token_id`, size);
  const flag = (name: string, fallback: boolean) => {
    const value = metadata[`tokenizer.ggml.${name}`];
    return typeof value === "boolean" ? value : fallback;
  };
  const bos = token("bos");
  const eos = token("eos");
  const endTokens = endTokensByName(added);
  for (const id of [eos, token("eot"), token("eom")]) if (id !== undefined) endTokens.add(id);
  const prefix = bos !== undefined && flag("add_bos_token", addBosDefault) ? [bos] : [];
  const suffix = eos !== undefined && flag("add_eos_token", false) ? [eos] : [];
  return { prefix, suffix, bos, eos, endTokens };
}

function tokenId(metadata: Metadata, key: string, size: number): number | undefined {
  const value = metadata[key];
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < size) {
    return value;
  }
  throw new WrinkleFreeError("bad_file", `${key} is ${value}, outside of ${size} tokens`, {
    field: key,
  });
}

function text(metadata: Metadata, key: string): string {
  const value = metadata[key];
  if (typeof value === "string") return value;
  throw new WrinkleFreeError("bad_file", `${key} is missing or not a string`, { field: key });
}

function texts(metadata: Metadata, key: string): readonly string[] {
  const value = metadata[key];
  if (Array.isArray(value) && (value.length === 0 || typeof value[0] === "string")) {
    return value as readonly string[];
  }
  throw new WrinkleFreeError("bad_file", `${key} is missing or not a list of strings`, {
    field: key,
  });
}
