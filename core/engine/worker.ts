// The loop inside the engine's Worker: drain the inbox, step, post what happened; sleep when idle.
import { type MessagePort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { WrinkleFreeError } from "../errors.ts";
import type { Registry } from "../registry.ts";
import { createChooserFactory } from "./choosers.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import type { FromEngine, PlainError, ToEngine, WorkerSettings } from "./messages.ts";
import { openRuntime, type Runtime, runtimeDefaults } from "./runtime.ts";

/** What the client passes to the Worker. */
export interface WorkerData {
  readonly settings: WorkerSettings;
  readonly port: MessagePort;
  /** Int32 [1], counted up with every message, so that the Worker can sleep on it. */
  readonly wake: SharedArrayBuffer;
}

export const engineDefaults: EngineOptions = {
  maxRows: runtimeDefaults.maxRows,
  maxLogitRows: runtimeDefaults.maxSequences,
  maxSequences: runtimeDefaults.maxSequences,
  maxStepMs: 250,
  queueLimit: 1024,
  maxDraft: 3,
};

/** Engine options within what the runtime's tape was recorded for. */
export function engineOptions(runtime: Runtime, wanted: Partial<EngineOptions>): EngineOptions {
  const { maxRows, maxLogitRows, maxSequences } = runtime.tape.limits;
  return { ...engineDefaults, ...wanted, maxRows, maxLogitRows, maxSequences };
}

/** Runs until the client says close. `makeRegistry` loads the plugins on this side. */
export async function runEngineWorker(
  makeRegistry: (plugins: readonly string[]) => Promise<Registry>,
): Promise<void> {
  const { settings, port, wake } = workerData as WorkerData;
  const post = (message: FromEngine): void => port.postMessage(message);
  let runtime: Runtime;
  let engine: Engine;
  try {
    const registry = await makeRegistry(settings.plugins);
    let shown = 0;
    runtime = await openRuntime(
      {
        ...settings.runtime,
        headLater: true,
        progress: (loaded, total) => {
          if (loaded - shown < total / 100) return;
          shown = loaded;
          post({ type: "progress", loaded, total });
        },
      },
      registry,
    );
    const choosers = createChooserFactory(registry, runtime.model);
    engine = new Engine(runtime, choosers, engineOptions(runtime, settings.engine));
  } catch (error) {
    post({ type: "failed", error: plainError(error) });
    port.close();
    return;
  }
  post({ type: "ready", info: runtime.info });
  try {
    loop(engine, runtime, port, new Int32Array(wake), post);
  } finally {
    // Native memory and threads outlive a Worker that ends by an error.
    runtime[Symbol.dispose]();
    port.close();
  }
}

/** Milliseconds without a message after which the time is used to prepare. */
const quietMs = 10;

function loop(
  engine: Engine,
  runtime: Runtime,
  port: MessagePort,
  wake: Int32Array,
  post: (message: FromEngine) => void,
): void {
  let preparing = true;
  for (;;) {
    const before = Atomics.load(wake, 0);
    for (;;) {
      const received = receiveMessageOnPort(port) as { message: ToEngine } | undefined;
      if (!received) break;
      if (received.message.type === "close") return;
      handle(engine, received.message, post);
    }
    if (engine.idle) {
      const woken = Atomics.wait(wake, 0, before, preparing ? quietMs : Infinity);
      if (preparing && woken === "timed-out") preparing = runtime.prepare();
      continue;
    }
    const events = engine.step();
    if (events.length > 0) post({ type: "events", events });
    if (preparing) preparing = runtime.prepare();
  }
}

function handle(engine: Engine, message: ToEngine, post: (message: FromEngine) => void): void {
  switch (message.type) {
    case "add":
      try {
        engine.add(message.request);
      } catch (error) {
        post({ type: "refused", id: message.request.id, error: plainError(error) });
      }
      return;
    case "cancel":
      engine.cancel(message.id);
      return;
    case "stats":
      answer(message.call, post, () => engine.stats);
      return;
    case "clear":
      answer(message.call, post, () => engine.clearCache());
      return;
    case "save":
      answer(message.call, post, () => engine.saveCache(message.tokens, message.path));
      return;
    case "restore":
      answer(message.call, post, () => engine.restoreCache(message.path));
      return;
    case "close":
      return;
  }
}

function answer(call: number, post: (message: FromEngine) => void, make: () => unknown): void {
  try {
    post({ type: "result", call, value: make() });
  } catch (error) {
    post({ type: "fault", call, error: plainError(error) });
  }
}

function plainError(error: unknown): PlainError {
  if (error instanceof WrinkleFreeError) {
    const { cause: _cause, ...details } = error.details;
    return { code: error.code, message: error.message, details };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: "internal", message, details: {} };
}
