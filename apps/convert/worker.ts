// A thread of a conversion: opens source and output itself, encodes or verifies the jobs it is given.
import { openSync } from "node:fs";
import { type Registry, WrinkleFreeError } from "../../core/index.ts";
import { type Model, openModel } from "../../core/model.ts";
import { writeAll, writeFailure } from "../../plugins/standard.ts";
import { createRegistry } from "../plugins.ts";
import { Collector } from "./collect.ts";
import { Encoder } from "./encode.ts";
import { type Prepared, type PrepareOptions, prepare } from "./prepare.ts";
import { type Proof, verifyJob } from "./verify.ts";

export interface WorkerStart {
  readonly options: PrepareOptions;
  readonly plugins: readonly string[];
  /** The file to write to, and where each tensor goes. */
  readonly temporary: string;
  readonly offsets: ReadonlyMap<string, number>;
  /** Size of that file. */
  readonly totalBytes: number;
}

export type WorkerRequest =
  | { readonly start: WorkerStart }
  | { readonly write: number }
  | { readonly verify: number };

export type WorkerReply =
  | { readonly ready: true }
  | { readonly done: number; readonly proof?: Proof }
  | {
      readonly error: { readonly code: string; readonly message: string; readonly details: object };
    };

class ConvertWorker {
  readonly #start: WorkerStart;
  readonly #prepared: Prepared;
  readonly #handle: number;
  readonly #registry: Registry;
  readonly #collector = new Collector();
  #output: Model | undefined;

  constructor(start: WorkerStart, prepared: Prepared, registry: Registry) {
    this.#start = start;
    this.#registry = registry;
    this.#prepared = prepared;
    this.#handle = openSync(start.temporary, "r+");
  }

  write(index: number): void {
    const job = this.#prepared.jobs[index];
    const written = new Map<string, number>();
    const put = (name: string, bytes: Uint8Array): void => {
      const at = written.get(name) ?? 0;
      const { options, offsets, totalBytes } = this.#start;
      try {
        writeAll(this.#handle, bytes, (offsets.get(name) ?? 0) + at);
      } catch (cause) {
        throw writeFailure(options.output, totalBytes, cause);
      }
      written.set(name, at + bytes.byteLength);
    };
    if (job) new Encoder(this.#prepared.source, put).encode(job);
    this.#collector.done(job);
  }

  async verify(index: number): Promise<Proof | undefined> {
    this.#output ??= await openModel(this.#start.temporary, this.#registry);
    const job = this.#prepared.jobs[index];
    const proof = job && verifyJob(job, this.#prepared.source, this.#output);
    this.#collector.done(job);
    return proof;
  }
}

declare const self: Worker;
let worker: ConvertWorker | undefined;
const reply = (message: WorkerReply): void => self.postMessage(message);

self.onmessage = async ({ data }: MessageEvent<WorkerRequest>): Promise<void> => {
  try {
    if ("start" in data) {
      const registry = await createRegistry(data.start.plugins);
      worker = new ConvertWorker(data.start, await prepare(data.start.options, registry), registry);
      reply({ ready: true });
    } else if ("write" in data) {
      worker?.write(data.write);
      reply({ done: data.write });
    } else {
      reply({ done: data.verify, proof: await worker?.verify(data.verify) });
    }
  } catch (error) {
    const known = error instanceof WrinkleFreeError;
    const { file, tensor, field, flag, hint } = known ? error.details : {};
    const message = error instanceof Error ? error.message : String(error);
    const details = { file, tensor, field, flag, hint };
    reply({ error: { code: known ? error.code : "internal", message, details } });
  }
};
