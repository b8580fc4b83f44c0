// Starts a lost engine again: requests that it had answered a part of fail, all others go on.
import { WrinkleFreeError } from "../errors.ts";
import type {
  EngineClient,
  EngineEvent,
  EngineStats,
  GenerateRequest,
  ModelInfo,
  Pooling,
} from "./protocol.ts";

/** An engine that may be lost. */
export interface MortalClient extends Omit<EngineClient, "available" | "embed"> {
  /** Settled with the reason when the engine is lost; never when it is closed. */
  readonly lost: Promise<WrinkleFreeError>;
}

/** Wait before an engine that could not be started is tried again, in milliseconds. */
const firstPause = 200;
const longestPause = 30_000;
/** An engine that lived this long (ms) is started again without a pause. */
const healthyAfter = 10_000;

export class SupervisedClient implements EngineClient {
  readonly info: ModelInfo;
  readonly #start: () => Promise<MortalClient>;
  #current: Promise<MortalClient>;
  #available = true;
  #closing = false;

  constructor(first: MortalClient, start: () => Promise<MortalClient>) {
    this.info = first.info;
    this.#start = start;
    this.#current = Promise.resolve(first);
    this.#watch(first, firstPause);
  }

  get available(): boolean {
    return this.#available;
  }

  async *generate(
    request: Omit<GenerateRequest, "id">,
    options: { signal?: AbortSignal } = {},
  ): AsyncIterableIterator<EngineEvent> {
    // Tried twice only: a request that itself ends the engine must not do so for ever. While the
    // engine cannot be started, `#current` rejects.
    for (let tries = 0; ; tries++) {
      const client = await this.#current;
      let answered = false;
      try {
        for await (const event of client.generate(request, options)) {
          answered = true;
          yield event;
        }
        return;
      } catch (error) {
        const lost = error instanceof WrinkleFreeError && error.code === "unavailable";
        if (!lost || answered || tries > 0 || this.#closing) throw error;
        await client.lost;
      }
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

  async stats(): Promise<EngineStats> {
    return (await this.#current).stats();
  }

  async clearCache(): Promise<number> {
    return (await this.#current).clearCache();
  }

  async saveCache(
    tokens: readonly number[],
    path: string,
  ): Promise<{ tokens: number; bytes: number }> {
    return (await this.#current).saveCache(tokens, path);
  }

  async restoreCache(path: string): Promise<number[]> {
    return (await this.#current).restoreCache(path);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#current.then((client) => client.close()).catch(() => {});
  }

  async #watch(client: MortalClient, pause: number): Promise<void> {
    const since = performance.now();
    await client.lost;
    if (this.#closing) return;
    this.#available = false;
    const healthy = performance.now() - since > healthyAfter;
    const next = healthy ? firstPause : pause * 2;
    let pauseMs = healthy ? 0 : pause;
    // Requests wait for the first try. When it fails they are refused until another succeeds.
    this.#current = this.#restart(pauseMs, next);
    while (!(await this.#current.catch(() => undefined)) && !this.#closing) {
      pauseMs = Math.min(longestPause, Math.max(pauseMs * 2, firstPause));
      await this.#restart(pauseMs, next).catch(() => {});
    }
  }

  async #restart(pauseMs: number, next: number): Promise<MortalClient> {
    await Bun.sleep(pauseMs);
    if (this.#closing) throw new WrinkleFreeError("unavailable", "the server is shutting down");
    try {
      const client = await this.#start();
      this.#current = Promise.resolve(client);
      this.#available = true;
      this.#watch(client, next);
      return client;
    } catch (cause) {
      const why = cause instanceof WrinkleFreeError ? ` (${cause.code})` : "";
      throw new WrinkleFreeError("unavailable", `the engine cannot be started again${why}`, {
        hint: "The server goes on trying.",
        cause,
      });
    }
  }
}
