// The text side's interfaces: tokenizer and streaming detokenizer.

export interface EncodeOptions {
  /** Put BOS (and EOS, where the model wants it) around the text. Default false. */
  readonly addSpecial?: boolean;
  /** Read "<|eot_id|>" and the like in the text as special tokens. Default true. */
  readonly parseSpecial?: boolean;
}

export interface Tokenizer {
  readonly vocabularySize: number;
  readonly bos: number | undefined;
  /** Every id that ends generation (eos, eot, and those named in the file). */
  readonly endTokens: ReadonlySet<number>;
  readonly addBos: boolean;
  encode(text: string, options?: EncodeOptions): number[];
  /** Whole-text decode; special tokens are kept when `special` (default false). */
  decode(tokens: readonly number[], options?: { special?: boolean }): string;
  /** Raw bytes of one token (special tokens: their text). Throws bad_request past the vocabulary. */
  bytes(token: number): Uint8Array;
  isSpecial(token: number): boolean;
  /** Id of a token by its exact text. */
  id(text: string): number | undefined;
}
