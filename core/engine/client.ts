// Starts the engine in a Worker and drives it: requests in, async event streams out.
import { randomUUID } from "node:crypto";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { WrinkleFreeError } from "../errors.ts";
import type { EngineOptions } from "./engine.ts";
import type { FromEngine, PlainError, ToEngine, WorkerSettings } from "./messages.ts";
import type {
  EngineClient,
  EngineEvent,
  EngineStats,
  GenerateRequest,
  ModelInfo,
  Pooling,
} from "./protocol.ts";
import type { RuntimeOptions } from "./runtime.ts";

export interface StartEngineOptions extends RuntimeOptions {
  /** The Worker's entry: a module that calls `runEngineWorker`. */
  readonly worker: URL | string;
  readonly engine?: Partial<EngineOptions>;
  /** Resolved module paths of plugins beside the standard set. */
  readonly plugins?: readonly string[];
}

/** Starts the Worker and waits until the model is ready. Throws what loading throws. */
export async function startEngine(options: StartEngineOptions): Promise<EngineClient> {
  const { worker: entry, engine, plugins, progress, ...runtime } = options;
  const { port1, port2 } = new MessageChannel();
  const wake = new SharedArrayBuffer(4);
  const settings: WorkerSettings = { runtime, engine: engine ?? {}, plugins: plugins ?? [] };
  const worker = new Worker(entry, {
    workerData: { settings, port: port2, wake },
    transferList: [port2],
  });
  const client = new WorkerEngineClient(worker, port1, new Int32Array(wake));
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

class WorkerEngineClient implements EngineClient {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #wake: Int32Array;
  readonly #streams = new Map<string, Stream>();
  readonly #calls = new Map<number, Call>();
  #nextCall = 0;
  #info: ModelInfo | undefined;
  #dead: Error | undefined;
  #closing = false;
  readonly #exited: Promise<void>;

  constructor(worker: Worker, port: MessagePort, wake: Int32Array) {
    this.#worker = worker;
    this.#port = port;
    this.#wake = wake;
    this.#exited = new Promise((resolve) => worker.on("exit", () => resolve()));
  }

  get info(): ModelInfo {
    if (!this.#info) throw new WrinkleFreeError("unavailable", "the model is still loading");
    return this.#info;
  }

  ready(progress: ((loaded: number, total: number) => void) | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#port.on("message", (message: FromEngine) => {
        if (message.type === "progress") progress?.(message.loaded, message.total);
        else if (message.type === "ready") {
          this.#info = message.info;
          resolve();
        } else if (message.type === "failed") reject(revive(message.error));
        else this.#receive(message);
      });
      const lost = (text: string): void => {
        if (this.#closing) return;
        this.#dead = new WrinkleFreeError("unavailable", text);
        reject(this.#dead);
        for (const stream of this.#streams.values()) fail(stream, this.#dead);
        for (const call of this.#calls.values()) call.reject(this.#dead);
        this.#calls.clear();
      };
      this.#worker.on("error", (error) => lost(`the engine stopped: ${String(error)}`));
      this.#worker.on("exit", () => lost("the engine stopped"));
    });
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

  async embed(
    tokens: readonly number[],
    options: { pooling: Pooling; cacheSalt?: string; signal?: AbortSignal },
  ): Promise<Float32Array[]> {
    const { pooling, cacheSalt, signal } = options;
    const request = { prompt: tokens, maxTokens: 0, sampling: {}, endTokens: [] };
    const events = this.generate({ ...request, embedding: pooling, cacheSalt }, { signal });
    for await (const event of events) {
      if (event.type === "embedding") return [...event.vectors];
      if (event.type === "error") throw new WrinkleFreeError(event.code, event.message);
    }
    throw new WrinkleFreeError("cancelled", "the embedding was cancelled");
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
    if (this.#closing) return;
    this.#closing = true;
    this.#send({ type: "close" });
    await this.#exited;
    this.#port.close();
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
    this.#port.postMessage(message);
    Atomics.add(this.#wake, 0, 1);
    Atomics.notify(this.#wake, 0);
  }

  #receive(message: FromEngine): void {
    switch (message.type) {
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
