// The client of a WrinkleFree server, for Node, Bun, Deno and browsers.
import { ClientError } from "./errors.ts";
import { type Fetch, Http, sleep } from "./http.ts";
import { AnswerStream, chatPieces, completionPieces } from "./stream.ts";
import type {
  Answer,
  CallOptions,
  Health,
  Message,
  ModelEntry,
  Prompt,
  SamplingOptions,
  TokenizeOptions,
} from "./types.ts";
import {
  ChatCollector,
  type ChatReply,
  type CompletionReply,
  chatBody,
  completionAnswer,
  completionBody,
} from "./wire.ts";

export interface ClientOptions {
  /** Default http://127.0.0.1:8080; a path and a trailing /v1 are understood. */
  readonly url?: string;
  readonly apiKey?: string;
  /** Which of the server's models answers; default: its first. */
  readonly model?: string;
  /**
   * Milliseconds that an answer may take, and a stream may be silent (default 600,000: a long prompt
   * takes minutes on a small machine). Each try has its own.
   */
  readonly timeout?: number;
  /**
   * Further tries (default 2) when there is no connection, the queue is full (429) or the server is not
   * ready (503). The server's Retry-After is obeyed up to a minute. A stream that has begun is not repeated.
   */
  readonly retries?: number;
  /** Milliseconds before the second try; doubles with each (default 500). */
  readonly retryDelay?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** In place of the global fetch. */
  readonly fetch?: Fetch;
}

type GenerateOptions = SamplingOptions & CallOptions;

/**
 * Speaks to a server. All methods reject with ClientError, or with the reason of an aborted `signal`.
 * Nothing is kept open: there is nothing to close.
 */
export class Client {
  readonly url: string;
  readonly #http: Http;
  readonly #model: string | undefined;

  constructor(options: ClientOptions = {}) {
    this.url = serverUrl(options.url ?? "http://127.0.0.1:8080");
    this.#model = options.model;
    const key = options.apiKey;
    this.#http = new Http({
      url: this.url,
      headers: { ...(key !== undefined && { authorization: `Bearer ${key}` }), ...options.headers },
      timeout: options.timeout ?? 600_000,
      retries: options.retries ?? 2,
      retryDelay: options.retryDelay ?? 500,
      // A method of the global object must be called as one.
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
    });
  }

  /** A client of the server at `url`; `http://:KEY@host` carries an API key. */
  static fromUrl(url: string, options: Omit<ClientOptions, "url"> = {}): Client {
    return new Client({ apiKey: keyOf(url), ...options, url });
  }

  /** Goes on with `prompt`. */
  async generate(prompt: Prompt, options: GenerateOptions = {}): Promise<Answer> {
    const body = completionBody(prompt, options, this.#model);
    const reply = (await this.#http.json("/completion", body, options)) as CompletionReply;
    return completionAnswer(reply, reply.content);
  }

  /** The same, piece by piece. */
  stream(prompt: Prompt, options: GenerateOptions = {}): AnswerStream {
    const body = { ...completionBody(prompt, options, this.#model), stream: true };
    return new AnswerStream((done) =>
      completionPieces(this.#http.events("/completion", body, options), done),
    );
  }

  /** Answers a conversation. */
  async chat(messages: readonly Message[], options: GenerateOptions = {}): Promise<Answer> {
    const body = chatBody(messages, options, this.#model);
    const collector = new ChatCollector();
    collector.add((await this.#http.json("/v1/chat/completions", body, options)) as ChatReply);
    return collector.answer();
  }

  /** The same, piece by piece. */
  chatStream(messages: readonly Message[], options: GenerateOptions = {}): AnswerStream {
    const body = {
      ...chatBody(messages, options, this.#model),
      stream: true,
      stream_options: { include_usage: true },
    };
    return new AnswerStream((done) =>
      chatPieces(this.#http.events("/v1/chat/completions", body, options), done),
    );
  }

  /** The token ids of a text. */
  async tokenize(text: string, options: TokenizeOptions = {}): Promise<number[]> {
    const { addSpecial = false, parseSpecial = true } = options;
    const body = { content: text, add_special: addSpecial, parse_special: parseSpecial };
    const reply = await this.#http.json("/tokenize", this.#named(body), options);
    return (reply as { tokens: number[] }).tokens;
  }

  /** The text of token ids. */
  async detokenize(tokens: readonly number[], options: CallOptions = {}): Promise<string> {
    const reply = await this.#http.json("/detokenize", this.#named({ tokens }), options);
    return (reply as { content: string }).content;
  }

  /** Whether the server is there and ready; never rejects but for an aborted `signal`. */
  async health(options: CallOptions = {}): Promise<Health> {
    try {
      await this.#http.json("/health", undefined, { timeout: 5000, ...options, retries: 0 });
      return "ok";
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      return error.kind === "unavailable" ? "loading" : "unreachable";
    }
  }

  /** Waits until the server is ready; rejects with kind `timeout` after `timeout` ms (default 60,000). */
  async waitUntilReady({ timeout = 60_000, signal }: CallOptions = {}): Promise<void> {
    const end = Date.now() + timeout;
    for (;;) {
      const health = await this.health({ signal });
      if (health === "ok") return;
      if (Date.now() > end) {
        throw new ClientError("timeout", `${this.url} is ${health} after ${timeout} ms`);
      }
      await sleep(100, signal);
    }
  }

  /** The models that the server has. */
  async models(options: CallOptions = {}): Promise<ModelEntry[]> {
    const reply = await this.#http.json("/v1/models", undefined, options);
    return (reply as { data: ModelEntry[] }).data;
  }

  #named(body: object): object {
    return this.#model === undefined ? body : { model: this.#model, ...body };
  }
}

/** The server's root: without key, /v1 and slashes at the end. */
function serverUrl(url: string): string {
  const parsed = parseUrl(url);
  parsed.username = "";
  parsed.password = "";
  parsed.search = "";
  parsed.hash = "";
  return parsed.href.replace(/\/+$/, "").replace(/\/v1$/, "");
}

function keyOf(url: string): string | undefined {
  const { password } = parseUrl(url);
  return password === "" ? undefined : decodeURIComponent(password);
}

function parseUrl(url: string): URL {
  const whole = /^[a-z]+:\/\//i.test(url) ? url : `http://${url}`;
  if (URL.canParse(whole) && /^https?:/.test(whole)) return new URL(whole);
  throw new TypeError(`not the address of a server: ${url}`);
}
