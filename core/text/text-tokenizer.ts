// The one Tokenizer class: added tokens, special prefix and suffix, decoding; a model splits the rest.
import { WrinkleFreeError } from "../errors.ts";
import { type AddedToken, AddedTokens } from "./added-tokens.ts";
import type { EncodeOptions, Tokenizer } from "./types.ts";

/** What differs between kinds of tokenizers. */
export interface TokenizerModel {
  readonly size: number;
  /** Appends the ids of a stretch of text without added tokens; `first`: it begins the input. */
  encode(text: string, first: boolean, out: number[]): void;
  /** Raw bytes of a token of the model. */
  bytes(token: number): Uint8Array;
  /** Id of a token by its text. */
  id(text: string): number | undefined;
}

export interface TokenizerParts {
  readonly model: TokenizerModel;
  readonly added: readonly AddedToken[];
  /** Ids that `addSpecial` puts before and after the text. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly endTokens: ReadonlySet<number>;
  /** Whole-text decode drops one leading space (SentencePiece's dummy prefix). */
  readonly stripsPrefixSpace?: boolean;
}

/** A Tokenizer made of parts; see core/text/tokenizer.ts for what they are built from. */
export class TextTokenizer implements Tokenizer {
  readonly vocabularySize: number;
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly endTokens: ReadonlySet<number>;
  readonly addBos: boolean;
  readonly #parts: TokenizerParts;
  readonly #added: AddedTokens;
  readonly #addedById = new Map<number, AddedToken>();
  readonly #addedByText = new Map<string, number>();
  readonly #textBytes = new Map<number, Uint8Array>();

  constructor(parts: TokenizerParts) {
    this.#parts = parts;
    this.#added = new AddedTokens(parts.added);
    let size = parts.model.size;
    for (const token of parts.added) {
      this.#addedById.set(token.id, token);
      this.#addedByText.set(token.content, token.id);
      size = Math.max(size, token.id + 1);
    }
    this.vocabularySize = size;
    this.bos = parts.bos;
    this.eos = parts.eos;
    this.endTokens = parts.endTokens;
    this.addBos = parts.bos !== undefined && parts.prefix.includes(parts.bos);
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const out: number[] = options.addSpecial ? [...this.#parts.prefix] : [];
    let first = true;
    for (const section of this.#added.split(text, options.parseSpecial ?? true)) {
      if ("token" in section) out.push(section.token.id);
      else this.#parts.model.encode(section.text, first, out);
      first = false;
    }
    if (options.addSpecial) out.push(...this.#parts.suffix);
    return out;
  }

  decode(tokens: readonly number[], options: { special?: boolean } = {}): string {
    const parts: Uint8Array[] = [];
    for (const token of tokens) {
      const bytes = this.bytes(token);
      if (options.special || !this.isSpecial(token)) parts.push(bytes);
    }
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.concat(parts));
    return this.#parts.stripsPrefixSpace && text.startsWith(" ") ? text.slice(1) : text;
  }

  bytes(token: number): Uint8Array {
    const added = this.#addedById.get(token);
    if (added !== undefined) return this.#bytesOfText(added);
    if (!(Number.isInteger(token) && token >= 0 && token < this.vocabularySize)) {
      throw new WrinkleFreeError(
        "bad_request",
        `token ${token} is outside of the vocabulary of ${this.vocabularySize} tokens`,
        { field: "tokens" },
      );
    }
    return token < this.#parts.model.size ? this.#parts.model.bytes(token) : new Uint8Array(0);
  }

  isSpecial(token: number): boolean {
    return this.#addedById.get(token)?.special ?? false;
  }

  id(text: string): number | undefined {
    return this.#addedByText.get(text) ?? this.#parts.model.id(text);
  }

  #bytesOfText(token: AddedToken): Uint8Array {
    let bytes = this.#textBytes.get(token.id);
    if (bytes === undefined) {
      bytes = new TextEncoder().encode(token.content);
      this.#textBytes.set(token.id, bytes);
    }
    return bytes;
  }
}
