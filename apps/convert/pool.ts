// Runs the jobs of a conversion, here or on worker threads, largest first.
import { availableParallelism } from "node:os";
import { type ErrorCode, type Registry, WrinkleFreeError } from "../../core/index.ts";
import { entryPoint } from "../../core/installation.ts";
import { openModel } from "../../core/model.ts";
import type { GgufWriter } from "../../plugins/standard.ts";
import { Collector } from "./collect.ts";
import { Encoder } from "./encode.ts";
import type { Prepared, PrepareOptions } from "./prepare.ts";
import { type Proof, verifyJob } from "./verify.ts";
import type { WorkerReply, WorkerRequest } from "./worker.ts";

/** Below this a worker's start costs more than it saves. */
const smallestParallel = 64 << 20;
const mostWorkers = 8;

export type Phase = "write" | "verify";

export interface JobRunner extends Disposable {
  /** Runs jobs by their index; tells each that is done. */
  run(
    phase: Phase,
    jobs: readonly number[],
    done: (job: number, proof?: Proof) => void,
  ): Promise<void>;
}

export interface RunnerParts {
  readonly prepared: Prepared;
  readonly writer: GgufWriter;
  readonly registry: Registry;
  readonly options: PrepareOptions;
  /** Modules of the registry's plugins; undefined = the jobs stay in this thread. */
  readonly plugins?: readonly string[];
  readonly threads?: number;
  /** Bytes of output from which threads are worth their start. */
  readonly smallest?: number;
  readonly signal?: AbortSignal;
}

export function createRunner(parts: RunnerParts): JobRunner {
  const threads = Math.min(parts.threads ?? availableParallelism(), mostWorkers);
  const parallel = parts.plugins !== undefined && threads > 1;
  return parallel && parts.writer.totalBytes >= (parts.smallest ?? smallestParallel)
    ? new WorkerRunner(parts, threads)
    : new LocalRunner(parts);
}

function checkCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new WrinkleFreeError("cancelled", "the conversion was interrupted");
}

class LocalRunner implements JobRunner {
  readonly #parts: RunnerParts;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
  }

  async run(
    phase: Phase,
    jobs: readonly number[],
    done: (job: number, proof?: Proof) => void,
  ): Promise<void> {
    const { prepared, writer, registry, signal } = this.#parts;
    const encoder = new Encoder(prepared.source, (name, bytes) => writer.write(name, bytes));
    using output = phase === "verify" ? await openModel(writer.temporary, registry) : undefined;
    const collector = new Collector();
    for (const index of jobs) {
      checkCancelled(signal);
      const job = prepared.jobs[index];
      if (!job) continue;
      if (output) done(index, verifyJob(job, prepared.source, output));
      else {
        encoder.encode(job);
        done(index);
      }
      collector.done(job);
      // Lets timers, signals and the terminal have their turn.
      await Bun.sleep(0);
    }
  }

  [Symbol.dispose](): void {}
}

class WorkerRunner implements JobRunner {
  readonly #parts: RunnerParts;
  readonly #workers: Worker[] = [];
  readonly #ready: Promise<unknown>;

  constructor(parts: RunnerParts, threads: number) {
    this.#parts = parts;
    const { writer, prepared, options, plugins = [] } = parts;
    const names = prepared.planned.map((tensor) => tensor.name);
    const offsets = new Map(names.map((name) => [name, writer.offsetOf(name)]));
    const start: WorkerRequest = {
      start: {
        options,
        plugins,
        temporary: writer.temporary,
        offsets,
        totalBytes: writer.totalBytes,
      },
    };
    for (let i = 0; i < threads; i++) {
      this.#workers.push(new Worker(entryPoint("apps/convert/worker.ts").href));
    }
    this.#ready = Promise.all(this.#workers.map((worker) => ask(worker, start)));
    this.#ready.catch(() => {});
  }

  async run(
    phase: Phase,
    jobs: readonly number[],
    done: (job: number, proof?: Proof) => void,
  ): Promise<void> {
    await this.#ready;
    const { prepared, writer, signal } = this.#parts;
    const size = (job: number): number => prepared.jobs[job]?.tensor.byteLength ?? 0;
    const queue = [...jobs].sort((a, b) => size(a) - size(b));
    const drain = async (worker: Worker): Promise<void> => {
      for (let job = queue.pop(); job !== undefined; job = queue.pop()) {
        checkCancelled(signal);
        const reply = await ask(worker, phase === "write" ? { write: job } : { verify: job });
        const own = prepared.jobs[job];
        if (phase === "write" && own) {
          writer.written(own.tensor.name);
          if (own.scale) writer.written(own.scale.name);
        }
        done(job, "proof" in reply ? reply.proof : undefined);
      }
    };
    await Promise.all(this.#workers.map(drain));
  }

  [Symbol.dispose](): void {
    for (const worker of this.#workers) worker.terminate();
  }
}

/** One request and its reply; a worker has one at a time. */
function ask(worker: Worker, request: WorkerRequest): Promise<WorkerReply> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<WorkerReply>): void => {
      if ("error" in data) {
        const { code, message, details } = data.error;
        reject(new WrinkleFreeError(code as ErrorCode, message, details));
      } else resolve(data);
    };
    worker.onerror = (event: ErrorEvent): void =>
      reject(new WrinkleFreeError("internal", `a conversion thread failed: ${event.message}`));
    worker.postMessage(request);
  });
}
