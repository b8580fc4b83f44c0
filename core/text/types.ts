// The text side's interfaces: tokenizer and chat messages.

export interface EncodeOptions {
  /** Put BOS (and EOS, where the model wants it) around the text. Default false. */
  readonly addSpecial?: boolean;
  /** Read "<|eot_id|>" and the like in the text as special tokens. Default true. */
  readonly parseSpecial?: boolean;
}

export interface Tokenizer {
  readonly vocabularySize: number;
  readonly bos: number | undefined;
  /** The token that the file names as the end of a text or turn. */
  readonly eos?: number;
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

/** A message of a chat in OpenAI's shape. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: string | null | readonly ContentPart[];
  readonly name?: string;
  readonly reasoning_content?: string | null;
  readonly tool_calls?: readonly ToolCall[] | null;
  readonly tool_call_id?: string;
}

export interface ContentPart {
  readonly type: string;
  readonly text?: string;
}

export interface ToolCall {
  readonly id?: string;
  readonly type?: "function";
  /** `arguments`: JSON text. */
  readonly function: { readonly name: string; readonly arguments: string };
}

/** A function that the model may call; `parameters` is a JSON Schema. */
export interface Tool {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description?: string;
    readonly parameters?: Readonly<Record<string, unknown>>;
    readonly strict?: boolean | null;
  };
}
