// What all kinds of tokenizers read from GGUF metadata: types of tokens, special ids.
import { WrinkleFreeError } from "../errors.ts";
import type { MetadataValue } from "../plugin/loader.ts";
import type { AddedToken } from "./added-tokens.ts";
import { endTokensByName } from "./end-tokens.ts";
import { eachString, type GgufSource, packedStrings } from "./packed-strings.ts";
import type { TokenizerParts } from "./text-tokenizer.ts";

type Metadata = Readonly<Record<string, MetadataValue>>;

/** llama.cpp's types of tokens. */
export const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 };

/** The type of each token, where the file has them. */
export function tokenTypes(metadata: Metadata, count: number): ArrayLike<number> | undefined {
  const types = metadata["tokenizer.ggml.token_type"];
  if (types === undefined) return undefined;
  const list = types as ArrayLike<number>;
  if (typeof types !== "object" || list.length !== count) {
    throw new WrinkleFreeError("bad_file", "tokenizer.ggml.token_type does not fit the tokens", {
      field: "tokenizer.ggml.token_type",
    });
  }
  return list;
}

/** Control and user-defined tokens: those that are looked for in the text itself. */
export function addedTokens(
  source: GgufSource,
  types: ArrayLike<number> | undefined,
): AddedToken[] {
  const added: AddedToken[] = [];
  if (types === undefined) return added;
  const packed = packedStrings(source, "tokenizer.ggml.tokens");
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  eachString(packed, "tokenizer.ggml.tokens", (start, end, id) => {
    const type = types[id];
    if (type !== tokenType.control && type !== tokenType.userDefined) return;
    const content = decoder.decode(packed.bytes.subarray(start, end));
    added.push({ id, content, special: type === tokenType.control });
  });
  return added;
}

/** BOS, EOS and what ends generation, as the file says. */
export function specialTokens(
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
