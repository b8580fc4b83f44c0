// What the client takes and gives: plain data, the same in both clients under each language's spelling.

/** Text, or token ids. */
export type Prompt = string | readonly number[];

/** How tokens are chosen and when an answer ends. What is left out has the server's default. */
export interface SamplingOptions {
  /** Tokens at most; default: until the context is full. */
  readonly maxTokens?: number;
  /** 0 takes the most likely token always. */
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  /** 0 to 2^32 - 1: the same seed gives the same answer. */
  readonly seed?: number;
  /** Strings that end the answer and are not part of it. */
  readonly stop?: string | readonly string[];
  /** Any other field of the request by the server's name: grammar, dry_multiplier, tools ... */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** How one call is made; what is left out is as in the client's options. */
export interface CallOptions {
  /** Ends the call: it rejects with the signal's reason, and the server stops working on it. */
  readonly signal?: AbortSignal;
  /** Milliseconds; see ClientOptions. */
  readonly timeout?: number;
  /** Further tries after one that failed in a way that may pass. */
  readonly retries?: number;
}

export interface TokenizeOptions extends CallOptions {
  /** Put the model's first token in front (default false). */
  readonly addSpecial?: boolean;
  /** Read special tokens in the text as such (default true). */
  readonly parseSpecial?: boolean;
}

/** One message of a conversation, as OpenAI has it. */
export interface Message {
  readonly role: "system" | "developer" | "user" | "assistant" | "tool";
  readonly content: string | null;
  readonly tool_calls?: readonly ToolCall[];
  readonly tool_call_id?: string;
}

export interface ToolCall {
  readonly id: string;
  readonly type: "function";
  /** The arguments are JSON text. */
  readonly function: { readonly name: string; readonly arguments: string };
}

export interface Usage {
  readonly promptTokens: number;
  /** Tokens of the prompt that the server had computed before. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

export interface Answer {
  readonly text: string;
  /** "stop": it came to its end; "length": there was no room for more; "tool_calls". */
  readonly finishReason: string;
  readonly usage: Usage;
  /** The model that answered. */
  readonly model: string;
  readonly toolCalls: readonly ToolCall[];
}

/** "loading": the server is there, its model is not ready yet. */
export type Health = "ok" | "loading" | "unreachable";

/** A model of the server's list; `meta` has its sizes once it is loaded. */
export interface ModelEntry {
  readonly id: string;
  readonly meta?: Readonly<Record<string, string | number>>;
}
