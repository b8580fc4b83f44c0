// Tokenizers from tokenizer.json: our own byte-level BPE where it fits, else the library's model.
import { Tokenizer as Library } from "@huggingface/tokenizers";
import type { AddedToken } from "./added-tokens.ts";
import { bytesOfAlphabet, byteToCode } from "./byte-level.ts";
import { endTokensByName } from "./end-tokens.ts";
import { jsonBytePair } from "./json-byte-pair.ts";
import type { TokenizerModel, TokenizerParts } from "./text-tokenizer.ts";
import { checkTokenizerJson, reading, record } from "./tokenizer-json.ts";

type Json = Readonly<Record<string, unknown>>;
type Alphabet = "bytes" | "sentencepiece";

const encoder = new TextEncoder();

/**
 * Parts from tokenizer.json and tokenizer_config.json, both parsed. Throws `bad_file` where
 * the library refuses them and `unsupported` where it is known to be wrong.
 * @param useOwn false: always the library's model (what ours is tested against)
 */
export function libraryParts(tokenizer: unknown, config: Json, useOwn = true): TokenizerParts {
  const json = record(tokenizer, "tokenizer.json");
  const model = record(json.model, 'tokenizer.json: "model"');
  checkTokenizerJson(json, model);
  const own = useOwn ? jsonBytePair(json, model) : undefined;
  // Beside our own model, the library only reads the rest: added tokens and the post-processor.
  const rest = own ? { ...json, model: { ...model, vocab: {}, merges: [] } } : json;
  const library = construct(rest, config);
  const added = library.get_added_tokens_decoder();
  const tokens: AddedToken[] = [...added.values()].map((token) => ({
    id: token.id,
    content: token.content,
    special: token.special,
    lstrip: token.lstrip,
    rstrip: token.rstrip,
    singleWord: token.single_word,
  }));
  const alphabet: Alphabet = usesByteLevel(json.decoder) ? "bytes" : "sentencepiece";
  const id = (text: string) => library.token_to_id(text) ?? own?.id(text);
  const { prefix, suffix } = reading(() => around(library, id));
  const bos = special(config.bos_token, id);
  const eos = special(config.eos_token, id);
  const ends = endTokensByName(tokens);
  if (eos !== undefined) ends.add(eos);
  if (prefix.length === 0 && config.add_bos_token === true && bos !== undefined) prefix.push(bos);
  return {
    model: own ?? new LibraryModel(library, alphabet, fallsBack(model)),
    added: tokens,
    prefix,
    suffix,
    bos: bos ?? prefix[0],
    eos,
    endTokens: ends,
    stripsPrefixSpace: alphabet === "sentencepiece",
  };
}

function construct(json: Json, config: Json): Library {
  return reading(() => new Library({ added_tokens: [], ...json }, config));
}

/** The library itself knows byte fallback for BPE only. */
function fallsBack(model: Json): boolean {
  return model.type === "Unigram" && model.byte_fallback === true;
}

class LibraryModel implements TokenizerModel {
  readonly size: number;
  readonly #library: Library;
  readonly #alphabet: Alphabet;
  /** Tokens "<0x00>" to "<0xFF>" for text that no other token holds; undefined unless all are there. */
  readonly #bytes: readonly number[] | undefined;

  /** `fallback`: text that no token holds becomes the tokens of its bytes, which the library leaves out. */
  constructor(library: Library, alphabet: Alphabet, fallback: boolean) {
    this.#library = library;
    this.#alphabet = alphabet;
    this.size = library.model?.vocab.length ?? 0;
    if (!fallback) return;
    const hex = (byte: number) => byte.toString(16).toUpperCase().padStart(2, "0");
    const ids = Array.from({ length: 256 }, (_, byte) => library.token_to_id(`<0x${hex(byte)}>`));
    if (ids.every((id) => id !== undefined)) this.#bytes = ids;
  }

  encode(text: string, first: boolean, out: number[]): void {
    reading(() => this.#encode(text, first, out));
  }

  #encode(text: string, first: boolean, out: number[]): void {
    const library = this.#library;
    const model = library.model!;
    const normal = library.normalizer === null ? text : library.normalizer(text);
    if (normal.length === 0) return;
    const options = { section_index: first ? 0 : 1 };
    const words = library.pre_tokenizer?.(normal, options) ?? [normal];
    for (const piece of model(words)) {
      const id = model.tokens_to_ids.get(piece);
      if (id === undefined && this.#bytes) {
        for (const byte of encoder.encode(piece)) out.push(this.#bytes[byte]!);
      } else if ((id ?? model.unk_token_id) !== undefined) out.push(id ?? model.unk_token_id!);
    }
  }

  bytes(token: number): Uint8Array {
    const text = this.#library.id_to_token(token) ?? "";
    return this.#alphabet === "bytes" ? bytesOfAlphabet(text) : sentencePieceBytes(text);
  }

  id(text: string): number | undefined {
    const key =
      this.#alphabet === "bytes"
        ? String.fromCharCode(...Array.from(encoder.encode(text), (byte) => byteToCode[byte]!))
        : text.replaceAll(" ", "\u2581");
    return this.#library.token_to_id(key) ?? this.#library.token_to_id(text);
  }
}

/** Bytes of a SentencePiece token: "<0x0A>" is one byte, U+2581 a space. */
export function sentencePieceBytes(text: string): Uint8Array {
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(text);
  if (byte !== null) return Uint8Array.of(Number.parseInt(byte[1]!, 16));
  return encoder.encode(text.replaceAll("\u2581", " "));
}

type Find = (text: string) => number | undefined;

/** The special ids that the post-processor puts around a text. */
function around(library: Library, find: Find): { prefix: number[]; suffix: number[] } {
  const marker = "\u0000text";
  const tokens = library.post_processor?.([marker], null, true).tokens ?? [marker];
  const at = tokens.indexOf(marker);
  const ids = (texts: string[]) => texts.map(find).filter((id) => id !== undefined);
  return { prefix: ids(tokens.slice(0, at)), suffix: ids(tokens.slice(at + 1)) };
}

function special(value: unknown, find: Find): number | undefined {
  const text = typeof value === "object" && value !== null ? (value as Json).content : value;
  return typeof text === "string" ? find(text) : undefined;
}

function usesByteLevel(decoder: unknown): boolean {
  if (typeof decoder !== "object" || decoder === null) return false;
  const { type, decoders } = decoder as Json;
  if (type === "Sequence" && Array.isArray(decoders)) return decoders.some(usesByteLevel);
  return type === "ByteLevel";
}
