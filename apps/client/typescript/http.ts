// Requests with a timeout, retries and cancellation, on fetch alone.
import { ClientError, errorOf } from "./errors.ts";
import { readEvents } from "./events.ts";
import type { CallOptions } from "./types.ts";

/** As much of fetch as is used. */
export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

export interface HttpOptions {
  /** Without a slash at its end. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeout: number;
  readonly retries: number;
  readonly retryDelay: number;
  readonly fetch: Fetch;
}

/** Milliseconds between two tries at most; a server that wants longer is not asked again. */
const longestDelay = 60_000;
/** Milliseconds that the own delays grow to. */
const longestBackoff = 8_000;

export class Http {
  readonly #options: HttpOptions;

  constructor(options: HttpOptions) {
    this.#options = options;
  }

  /** The parsed JSON of an answer. Throws ClientError, or the signal's reason. */
  json(path: string, body: object | undefined, call: CallOptions): Promise<unknown> {
    return this.#try(call, async (deadline) => {
      const reply = await this.#fetch(path, body, deadline);
      const text = await reply.text();
      deadline.end();
      try {
        return JSON.parse(text) as unknown;
      } catch (cause) {
        const message = `${path} answers what is not JSON: ${text.slice(0, 100)}`;
        throw new ClientError("server", message, { status: reply.status, cause });
      }
    });
  }

  /**
   * The data of a stream's events. Tries again until the stream begins, not later. Leaving the loop
   * ends the request.
   */
  async *events(path: string, body: object, call: CallOptions): AsyncGenerator<string> {
    const { reply, deadline } = await this.#try(call, async (deadline) => ({
      reply: await this.#fetch(path, body, deadline),
      deadline,
    }));
    try {
      yield* readEvents(reply, () => deadline.restart());
    } catch (cause) {
      throw deadline.explain(cause, this.#options.url);
    } finally {
      deadline.abort();
    }
  }

  async #fetch(path: string, body: object | undefined, deadline: Deadline): Promise<Response> {
    const { url, headers, fetch } = this.#options;
    const init: RequestInit =
      body === undefined
        ? { headers }
        : {
            method: "POST",
            headers: { "content-type": "application/json", ...headers },
            body: JSON.stringify(body),
          };
    const reply = await fetch(url + path, { ...init, signal: deadline.signal });
    if (!reply.ok) throw await errorOf(reply);
    return reply;
  }

  async #try<T>(call: CallOptions, run: (deadline: Deadline) => Promise<T>): Promise<T> {
    const { url, timeout, retries, retryDelay } = { ...this.#options, ...defined(call) };
    for (let attempt = 0; ; attempt++) {
      const deadline = new Deadline(timeout, call.signal);
      try {
        return await run(deadline);
      } catch (cause) {
        deadline.end();
        const error = deadline.explain(cause, url);
        if (!(error instanceof ClientError) || !error.passing || attempt >= retries) throw error;
        const backoff = Math.min(retryDelay * 2 ** attempt, longestBackoff);
        const delay = error.retryAfter ?? backoff * (0.75 + Math.random() / 2);
        if (delay > longestDelay) throw error;
        await sleep(delay, call.signal);
      }
    }
  }
}

function defined(call: CallOptions): CallOptions {
  return Object.fromEntries(Object.entries(call).filter(([, value]) => value !== undefined));
}

/** Aborts a request after a time without a sign of life, or when the caller's signal does. */
class Deadline {
  readonly #controller = new AbortController();
  readonly #ms: number;
  readonly #outer: AbortSignal | undefined;
  readonly #leave = (): void => this.#controller.abort(this.#outer?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #expired = false;

  constructor(ms: number, outer: AbortSignal | undefined) {
    this.#ms = ms;
    this.#outer = outer;
    outer?.throwIfAborted();
    outer?.addEventListener("abort", this.#leave, { once: true });
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#expired = true;
      this.#controller.abort();
    }, this.#ms);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#leave);
  }

  abort(): void {
    this.end();
    this.#controller.abort();
  }

  /** What a failure of fetch means: the caller's own reason, the timeout, or the connection. */
  explain(cause: unknown, url: string): unknown {
    if (this.#outer?.aborted) return this.#outer.reason;
    if (this.#expired) {
      const message = `${url} was silent for ${this.#ms} ms`;
      return new ClientError("timeout", message, { cause });
    }
    if (cause instanceof ClientError) return cause;
    const text = cause instanceof Error ? cause.message : String(cause);
    return new ClientError("connection", `${url} cannot be reached: ${text}`, { cause });
  }
}

/** Waits; rejects with the signal's reason when it is aborted meanwhile. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", leave);
      resolve();
    }, ms);
    signal?.addEventListener("abort", leave, { once: true });
  });
}
