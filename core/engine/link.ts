// The two ways to the engine: a Worker of this process, or a process of its own that runs one.
import { MessageChannel, Worker } from "node:worker_threads";
import type { FromEngine, ToEngine, WorkerSettings } from "./messages.ts";

/** Carries messages to an engine and back. */
export interface Link {
  send(message: ToEngine): void;
  /** Settled with the reason once the engine is gone, however it ended. */
  readonly gone: Promise<string>;
  /** Ends the engine at once. */
  kill(): void;
}

/** Starts the engine in a Worker, which sleeps on a counter in shared memory while it is idle. */
export function workerLink(
  entry: URL | string,
  settings: WorkerSettings,
  receive: (message: FromEngine) => void,
): Link {
  const { port1, port2 } = new MessageChannel();
  const shared = new SharedArrayBuffer(4);
  const wake = new Int32Array(shared);
  const worker = new Worker(entry, {
    workerData: { settings, port: port2, wake: shared },
    transferList: [port2],
  });
  port1.on("message", receive);
  const gone = new Promise<string>((resolve) => {
    worker.on("error", (error) => resolve(`the engine stopped: ${String(error)}`));
    worker.on("exit", () => resolve("the engine stopped"));
  });
  gone.then(() => port1.close());
  return {
    gone,
    send(message) {
      port1.postMessage(message);
      Atomics.add(wake, 0, 1);
      Atomics.notify(wake, 0);
    },
    kill: () => void worker.terminate(),
  };
}

/** What the parent sends first: where the Worker's entry is, and its settings. */
export interface ChildStart {
  readonly type: "start";
  readonly worker: string;
  readonly settings: WorkerSettings;
}

/** Starts the engine in a process of its own, so that a crash of native code ends only that one. */
export function processLink(
  entry: URL | string,
  worker: URL | string,
  settings: WorkerSettings,
  receive: (message: FromEngine) => void,
): Link {
  const path = (place: URL | string): string => (place instanceof URL ? place.pathname : place);
  const child = Bun.spawn([process.execPath, path(entry)], {
    stdio: ["ignore", "inherit", "inherit"],
    serialization: "advanced",
    ipc: (message) => receive(message as FromEngine),
  });
  const start: ChildStart = { type: "start", worker: path(worker), settings };
  child.send(start);
  const gone = child.exited.then(() => {
    const how = child.signalCode ?? `exit code ${child.exitCode}`;
    return `the engine's process ${child.pid} stopped: ${how}`;
  });
  return { gone, send: (message) => child.send(message), kill: () => child.kill("SIGKILL") };
}

/** Runs in that process: passes messages between the parent and a Worker until either is gone. */
export function relayEngine(): void {
  let link: Link | undefined;
  process.on("message", (message: ChildStart | ToEngine) => {
    if (message.type !== "start") {
      link?.send(message);
      return;
    }
    link = workerLink(message.worker, message.settings, (event) => process.send?.(event));
    link.gone.then(() => process.exit());
  });
  process.on("disconnect", () => process.exit());
  // A terminal sends Ctrl-C to the whole group: the parent decides when the engine ends.
  process.on("SIGINT", () => {});
}
