// SentencePiece BPE from GGUF metadata ("llama"): merges by the score of the token that they make.
import { WrinkleFreeError } from "../errors.ts";
import { addedTokens, specialTokens, tokenType, tokenTypes } from "./gguf-fields.ts";
import { MergeQueue } from "./merges.ts";
import { eachString, type GgufSource, packedStrings } from "./packed-strings.ts";
import type { TokenizerModel, TokenizerParts } from "./text-tokenizer.ts";
import { type TokenTable, TokenTableBuilder } from "./token-table.ts";

/** The character that stands for a space. */
const spaceMark = "\u2581";

/** A power of two. */
const rememberedPairs = 2 ** 15;

/** Throws `bad_file` naming the key that does not fit. */
export function sentencePieceParts(source: GgufSource): TokenizerParts {
  const { metadata } = source;
  const key = "tokenizer.ggml.tokens";
  const packed = packedStrings(source, key);
  const types = tokenTypes(metadata, packed.count);
  const scores = metadata["tokenizer.ggml.scores"] as ArrayLike<number> | undefined;
  if (typeof scores !== "object" || scores.length !== packed.count) {
    const text = "tokenizer.ggml.scores does not fit the tokens";
    throw new WrinkleFreeError("bad_file", text, { field: "tokenizer.ggml.scores" });
  }
  const builder = new TokenTableBuilder(packed.count);
  eachString(packed, key, (start, end) => {
    builder.append(packed.bytes.subarray(start, end));
    builder.close();
  });
  const table = builder.build((token) => {
    const type = types?.[token] ?? tokenType.normal;
    return type === tokenType.normal || type === tokenType.userDefined;
  });
  const added = addedTokens(source, types);
  const unknown = metadata["tokenizer.ggml.unknown_token_id"];
  const prefixed = metadata["tokenizer.ggml.add_space_prefix"] !== false;
  const unknownId = typeof unknown === "number" ? unknown : undefined;
  return {
    model: new SentencePieceModel(table, Float32Array.from(scores), types, prefixed, unknownId),
    added,
    ...specialTokens(metadata, packed.count, added, true),
    stripsPrefixSpace: prefixed,
  };
}

class SentencePieceModel implements TokenizerModel {
  readonly size: number;
  readonly #table: TokenTable;
  readonly #scores: Float32Array;
  readonly #types: ArrayLike<number> | undefined;
  readonly #prefix: string;
  readonly #unknown: number | undefined;
  /** The token "<0xNN>" of each byte, or -1. */
  readonly #ofByte = new Int32Array(256).fill(-1);
  readonly #queue = new MergeQueue();
  readonly #encoder = new TextEncoder();
  #pair = new Uint8Array(256);
  /** Left + 1 (0 = free), right, token of the pair. */
  readonly #remembered = new Int32Array(rememberedPairs * 3);

  constructor(
    table: TokenTable,
    scores: Float32Array,
    types: ArrayLike<number> | undefined,
    prefixed: boolean,
    unknown: number | undefined,
  ) {
    this.size = table.size;
    this.#table = table;
    this.#scores = scores;
    this.#types = types;
    this.#prefix = prefixed ? spaceMark : "";
    this.#unknown = unknown;
    for (let token = 0; token < this.size; token++) {
      const byte = this.#byteOf(token);
      if (byte !== undefined) this.#ofByte[byte] = token;
    }
  }

  /** As llama.cpp does, every stretch of text gets the prefix: it follows the start or a token. */
  encode(text: string, _first: boolean, out: number[]): void {
    const bytes = this.#encoder.encode(this.#prefix + text.replaceAll(" ", spaceMark));
    const symbols = new Int32Array(bytes.length);
    /** Where each character that is no token begins, by its number. */
    const strange: [start: number, end: number][] = [];
    let length = 0;
    for (let start = 0; start < bytes.length; ) {
      const end = start + characterLength(bytes[start]!);
      const token = this.#table.find(bytes, start, end);
      symbols[length++] = token >= 0 ? token : -strange.push([start, end]);
      start = end;
    }
    const merged: number[] = [];
    this.#queue.run(symbols, length, this.#key, this.#joined, merged);
    for (const token of merged) {
      if (token >= 0) out.push(token);
      else this.#fallBack(bytes.subarray(...strange[-token - 1]!), out);
    }
  }

  bytes(token: number): Uint8Array {
    const byte = this.#byteOf(token);
    if (byte !== undefined) return Uint8Array.of(byte);
    const text = Buffer.from(this.#table.bytes(token)).toString();
    return this.#encoder.encode(text.replaceAll(spaceMark, " "));
  }

  id(text: string): number | undefined {
    const bytes = this.#encoder.encode(text.replaceAll(" ", spaceMark));
    const token = this.#table.find(bytes, 0, bytes.length);
    return token < 0 ? undefined : token;
  }

  #fallBack(bytes: Uint8Array, out: number[]): void {
    if (bytes.every((byte) => this.#ofByte[byte]! >= 0)) {
      for (const byte of bytes) out.push(this.#ofByte[byte]!);
    } else if (this.#unknown !== undefined) out.push(this.#unknown);
  }

  #byteOf(token: number): number | undefined {
    if (this.#types?.[token] !== tokenType.byte) return undefined;
    const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(Buffer.from(this.#table.bytes(token)).toString());
    return hex === null ? undefined : Number.parseInt(hex[1]!, 16);
  }

  /** The token of two together, or -1. What was found last for a pair's slot is remembered. */
  #join(left: number, right: number): number {
    if (left < 0 || right < 0) return -1;
    const hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    const at = ((hash ^ (hash >>> 15)) & (rememberedPairs - 1)) * 3;
    const known = this.#remembered;
    if (known[at] !== left + 1 || known[at + 1] !== right) {
      known[at + 2] = this.#lookUp(left, right);
      known[at] = left + 1;
      known[at + 1] = right;
    }
    return known[at + 2]!;
  }

  #lookUp(left: number, right: number): number {
    const [a, b] = [this.#table.bytes(left), this.#table.bytes(right)];
    const length = a.length + b.length;
    if (this.#pair.length < length) this.#pair = new Uint8Array(2 * length);
    this.#pair.set(a);
    this.#pair.set(b, a.length);
    return this.#table.find(this.#pair, 0, length);
  }

  #key = (left: number, right: number): number => {
    const token = this.#join(left, right);
    return token < 0 ? Infinity : -this.#scores[token]!;
  };

  #joined = (left: number, right: number): number => this.#join(left, right);
}

/** Bytes of the UTF-8 character that begins with this byte. */
function characterLength(first: number): number {
  return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}
