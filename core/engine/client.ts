// Starts the engine, in a Worker or a process, and drives it: requests in, async event streams out.
import { randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { WrinkleFreeError } from "../errors.ts";
import type { EngineOptions } from "./engine.ts";
import { type Link, processLink, workerLink } from "./link.ts";
import type { FromEngine, PlainError, ToEngine, WorkerSettings } from "./messages.ts";
import type {
  EngineClient,
  EngineEvent,
  EngineStats,
  GenerateRequest,
  ModelInfo,
} from "./protocol.ts";
import type { RuntimeOptions } from "./runtime.ts";
import { type MortalClient, SupervisedClient } from "./supervise.ts";

export interface StartEngineOptions extends RuntimeOptions {
  /** The Worker's entry: a module that calls `runEngineWorker`. */
  readonly worker: URL | string;
  /** Entry of a process of its own for the engine, a module that calls `relayEngine`. */
  readonly isolate?: URL | string;
  readonly engine?: Partial<EngineOptions>;
  /** Resolved module paths of plugins beside the standard set. */
  readonly plugins?: readonly string[];
}

/**
 * Starts the engine and waits until the model is ready; starts it again whenever it is lost. Throws
 * what loading throws the first time.
 */
export async function startEngine(options: StartEngineOptions): Promise<EngineClient> {
  const { progress, ...own } = options;
  const opened = stateOf(own.model);
  const first = await startOnce(own, progress);
  return new SupervisedClient(first, async () => {
    // Another file would not fit the tokenizer that was read from this one.
    if (stateOf(own.model) === opened) return startOnce(own);
    throw new WrinkleFreeError("bad_file", `${own.model} has changed since the start`, {
      file: own.model,
      hint: "Start the server again.",
    });
  });
}

/** What changes when a file is written or replaced; nothing does for a folder. */
function stateOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() ? `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeMs}` : "";
}

async function startOnce(
  options: Omit<StartEngineOptions, "progress">,
  progress?: StartEngineOptions["progress"],
): Promise<MortalClient> {
  const { worker, isolate, engine, plugins, ...runtime } = options;
  const settings: WorkerSettings = { runtime, engine: engine ?? {}, plugins: plugins ?? [] };
  const client = new LinkedClient((receive) =>
    isolate === undefined
      ? workerLink(worker, settings, receive)
      : processLink(isolate, worker, settings, receive),
  );
  await client.ready(progress);
  return client;
}

interface Call {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Where the events of one request wait for their reader. */
interface Stream {
  readonly events: EngineEvent[];
  error: Error | undefined;
  wake: (() => void) | undefined;
}

class LinkedClient implements MortalClient {
  readonly lost: Promise<WrinkleFreeError>;
  readonly #link: Link;
  readonly #streams = new Map<string, Stream>();
  readonly #calls = new Map<number, Call>();
  readonly #started = Promise.withResolvers<void>();
  #progress: StartEngineOptions["progress"];
  #nextCall = 0;
  #info: ModelInfo | undefined;
  #dead: WrinkleFreeError | undefined;
  #closing = false;

  constructor(connect: (receive: (message: FromEngine) => void) => Link) {
    this.#link = connect((message) => this.#receive(message));
    this.lost = new Promise((resolve) => {
      this.#link.gone.then((reason) => {
        if (!this.#closing) resolve(this.#lose(reason));
      });
    });
  }

  get info(): ModelInfo {
    if (!this.#info) throw new WrinkleFreeError("unavailable", "the model is still loading");
    return this.#info;
  }

  ready(progress: StartEngineOptions["progress"]): Promise<void> {
    this.#progress = progress;
    return this.#started.promise;
  }

  /** Fails everything that waits for the engine. */
  #lose(reason: string): WrinkleFreeError {
    const dead = new WrinkleFreeError("unavailable", reason, {
      hint: "It is started again; send the request again.",
    });
    this.#dead = dead;
    this.#started.reject(dead);
    for (const stream of this.#streams.values()) fail(stream, dead);
    for (const call of this.#calls.values()) call.reject(dead);
    this.#calls.clear();
    return dead;
  }

  async *generate(
    request: Omit<GenerateRequest, "id">,
    options: { signal?: AbortSignal } = {},
  ): AsyncIterableIterator<EngineEvent> {
    if (this.#dead) throw this.#dead;
    const id = randomUUID();
    const stream: Stream = { events: [], error: undefined, wake: undefined };
    this.#streams.set(id, stream);
    const abort = (): void => this.#send({ type: "cancel", id });
    options.signal?.addEventListener("abort", abort);
    let ended = false;
    try {
      this.#send({ type: "add", request: { ...request, id } });
      if (options.signal?.aborted) abort();
      while (!ended) {
        const event = await next(stream);
        ended = event.type === "done" || event.type === "error";
        yield event;
      }
    } finally {
      options.signal?.removeEventListener("abort", abort);
      this.#streams.delete(id);
      if (!ended && !stream.error) this.#send({ type: "cancel", id });
    }
  }

  stats(): Promise<EngineStats> {
    return this.#call((call) => ({ type: "stats", call }));
  }

  clearCache(): Promise<number> {
    return this.#call((call) => ({ type: "clear", call }));
  }

  saveCache(tokens: readonly number[], path: string): Promise<{ tokens: number; bytes: number }> {
    return this.#call((call) => ({ type: "save", call, tokens, path }));
  }

  restoreCache(path: string): Promise<number[]> {
    return this.#call((call) => ({ type: "restore", call, path }));
  }

  async close(): Promise<void> {
    if (this.#closing || this.#dead) return;
    this.#closing = true;
    this.#send({ type: "close" });
    await this.#link.gone;
  }

  #call<T>(make: (call: number) => ToEngine): Promise<T> {
    if (this.#dead) return Promise.reject(this.#dead);
    const call = this.#nextCall++;
    return new Promise<T>((resolve, reject) => {
      this.#calls.set(call, { resolve: (value) => resolve(value as T), reject });
      this.#send(make(call));
    });
  }

  #send(message: ToEngine): void {
    if (!this.#dead) this.#link.send(message);
  }

  #receive(message: FromEngine): void {
    switch (message.type) {
      case "progress":
        this.#progress?.(message.loaded, message.total);
        return;
      case "ready":
        this.#info = message.info;
        this.#started.resolve();
        return;
      case "failed":
        this.#started.reject(revive(message.error));
        return;
      case "events":
        for (const event of message.events) this.#deliver(event);
        return;
      case "refused": {
        const stream = this.#streams.get(message.id);
        if (stream) fail(stream, revive(message.error));
        return;
      }
      case "result":
        this.#calls.get(message.call)?.resolve(message.value);
        this.#calls.delete(message.call);
        return;
      case "fault":
        this.#calls.get(message.call)?.reject(revive(message.error));
        this.#calls.delete(message.call);
    }
  }

  #deliver(event: EngineEvent): void {
    const stream = this.#streams.get(event.id);
    if (!stream) return;
    stream.events.push(event);
    stream.wake?.();
  }
}

async function next(stream: Stream): Promise<EngineEvent> {
  for (;;) {
    const event = stream.events.shift();
    if (event) return event;
    if (stream.error) throw stream.error;
    await new Promise<void>((resolve) => {
      stream.wake = resolve;
    });
    stream.wake = undefined;
  }
}

function fail(stream: Stream, error: Error): void {
  stream.error = error;
  stream.wake?.();
}

function revive(error: PlainError): WrinkleFreeError {
  return new WrinkleFreeError(error.code, error.message, error.details);
}
