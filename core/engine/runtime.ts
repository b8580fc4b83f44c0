// Makes a model runnable: kernels chosen, weights packed, KV pages allocated, the tape recorded.
import { freemem } from "node:os";
import { basename } from "node:path";
import { WrinkleFreeError } from "../errors.ts";
import { type Model, openModel } from "../model.ts";
import { pagePositions } from "../native/abi.ts";
import type { Host, Pool } from "../native/host.ts";
import { kvLayerBytes } from "../native/kv.ts";
import { bytesView, type Region } from "../native/memory.ts";
import { openKernels } from "../native/select.ts";
import type { ExpertUse } from "../plugin/routing.ts";
import type { Registry } from "../registry.ts";
import type { HeadMode } from "../tape/head.ts";
import { KernelTable } from "../tape/kernels.ts";
import { TapeRecorder } from "../tape/recorder.ts";
import { type StepPlan, Tape } from "../tape/tape.ts";
import { WeightPacker } from "../tape/weights.ts";
import { Gemm } from "./gemm.ts";
import { fastestLayout, takesTime } from "./layout.ts";
import { poolings } from "./pooling.ts";
import type { ModelInfo } from "./protocol.ts";
import type { StepRunner } from "./runner.ts";

export type KvTypeName = "f16" | "q8_0";

export interface RuntimeOptions {
  /** Model file or checkpoint folder. */
  readonly model: string;
  /** Positions a sequence may have; default: what the model was trained for, at most 4096. */
  readonly contextLength?: number;
  /** Default: the machine's cores. */
  readonly threads?: number;
  /** Rows (tokens) of one step. */
  readonly maxRows?: number;
  readonly maxSequences?: number;
  /** Bytes of KV pages; default: room for maxSequences full contexts, within half the free memory. */
  readonly kvMemory?: number;
  readonly cacheTypeK?: KvTypeName;
  readonly cacheTypeV?: KvTypeName;
  /** Ternary execution layout; default: the fastest of the chosen kernels, measured at load. */
  readonly layout?: string;
  /** How many rows are multiplied by ternary weights: "plain", "hybrid"; default: measured. */
  readonly gemm?: string;
  /** Run ternary weights on the mapped file where a kernel can: starts at once, decodes slower. */
  readonly mapped?: boolean;
  /** Experts of each layer that are packed; the others run on the mapped file. Default: all. */
  readonly expertsResident?: number;
  /** Forces one instruction set ("generic", "avx2", "avx512", "neon"). */
  readonly isa?: string;
  readonly weightScale?: "direct" | "inverse";
  /** Whether greedy and top-k sampling screen the head's rows; default: where it pays. */
  readonly head?: HeadMode;
  /** Starts on the full head, until `Runtime.prepare` has made what the screened one needs. */
  readonly headLater?: boolean;
  readonly progress?: (loadedBytes: number, totalBytes: number) => void;
}

export const runtimeDefaults = {
  contextLength: 4096,
  maxRows: 512,
  maxSequences: 64,
} as const;

/** Bytes at the head of each tensor that the fingerprint reads. */
const fingerprintBytes = 4096;
/** Bytes of logits kept at most; bounds how many prompt tokens are scored in one step. */
const logitBytes = 64 << 20;
/** Largest contexts in elements of the page table; far past any model's. */
const kvTypes: Record<KvTypeName, number> = { f16: 0, q8_0: 1 };

export class Runtime implements StepRunner {
  readonly model: Model;
  readonly tape: Tape;
  readonly info: ModelInfo;
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly pages: number;
  readonly pagePositions = pagePositions;
  readonly kernels: KernelTable;
  readonly #host: Host;
  readonly #pool: Pool;
  readonly #weights: WeightPacker;
  readonly #gemm: Gemm;
  readonly #kv: Region;
  readonly #pageBytes: number;
  /** What the process had lost before this model was opened. */
  readonly #lostBefore: number;
  #fingerprint: string | undefined;

  constructor(parts: {
    model: Model;
    tape: Tape;
    info: ModelInfo;
    kernels: KernelTable;
    host: Host;
    pool: Pool;
    weights: WeightPacker;
    gemm: Gemm;
    kv: Region;
    pages: number;
    pageBytes: number;
  }) {
    this.model = parts.model;
    this.tape = parts.tape;
    this.info = parts.info;
    this.kernels = parts.kernels;
    this.vocabulary = parts.model.hyperparameters.vocabulary;
    this.contextLength = parts.tape.limits.contextLength;
    this.pages = parts.pages;
    this.#host = parts.host;
    this.#pool = parts.pool;
    this.#weights = parts.weights;
    this.#gemm = parts.gemm;
    this.#kv = parts.kv;
    this.#pageBytes = parts.pageBytes;
    this.#lostBefore = parts.host.lostBytes;
  }

  get topLimit(): number {
    return this.tape.topLimit;
  }

  /** How many rows are multiplied by ternary weights: "plain", "hybrid". */
  get gemm(): string {
    return this.#gemm.name;
  }

  /** Does a part of what was left for after the start; true while there is more to do. */
  prepare(): boolean {
    if (this.tape.prepare()) return true;
    this.#gemm.decide(this.#host, this.#pool);
    return false;
  }

  /** Runs a step. Throws `bad_file` when the model's file was found cut off meanwhile. */
  run(plan: StepPlan, top: number | "all" = "all"): void {
    this.tape.run(plan, top);
    if (this.#host.lostBytes > this.#lostBefore) throw cutOff(this.model.path);
    this.#weights.residents.afterStep();
  }

  largest(index: number): { readonly ids: Uint32Array; readonly logits: Float32Array } {
    return this.tape.largest(index);
  }

  logits(index: number): Float32Array {
    return this.tape.logits(index);
  }

  hidden(index: number): Float32Array {
    return this.tape.hidden(index);
  }

  copyPage(to: number, from: number): void {
    const bytes = this.#pageBytes;
    const base = this.#kv.address;
    this.#host.copy(base + to * bytes, base + from * bytes, bytes);
  }

  pageBytes(page: number): Uint8Array {
    return bytesView(this.#kv.address + page * this.#pageBytes, this.#pageBytes);
  }

  /** Experts that are packed where not all are, layer by layer. */
  expertsResident(): number[][] {
    return this.#weights.residents.list();
  }

  expertUse(): ExpertUse[] {
    return this.tape.expertUse();
  }

  /** Hash of the model's metadata and of the head of every tensor: tells weights apart cheaply. */
  get fingerprint(): string {
    if (this.#fingerprint) return this.#fingerprint;
    const hasher = new Bun.CryptoHasher("sha256");
    const { kvTypeK, kvTypeV } = this.tape.limits;
    hasher.update(JSON.stringify([this.model.hyperparameters, kvTypeK, kvTypeV]));
    for (const tensor of this.model.tensors.values()) {
      for (const part of tensor.parts) {
        hasher.update(`${part.name} ${part.format} ${part.shape}`);
        hasher.update(this.model.file.bytes(part.name).subarray(0, fingerprintBytes));
      }
    }
    this.#fingerprint = hasher.digest("hex");
    return this.#fingerprint;
  }

  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]();
    this.tape[Symbol.dispose]();
    this.#weights[Symbol.dispose]();
    this.#kv[Symbol.dispose]();
    this.model[Symbol.dispose]();
  }
}

/** Opens a model for running. Throws `bad_file`, `unsupported`, `out_of_memory`, `usage`. */
export async function openRuntime(options: RuntimeOptions, registry: Registry): Promise<Runtime> {
  // First, so that the native library maps the model's file.
  openKernels(registry.kernels, { isa: options.isa });
  const model = await openModel(options.model, registry, { weightScale: options.weightScale });
  try {
    return createRuntime(model, options, registry);
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
}

/** Makes an open model runnable; the runtime owns the model from then on. */
export function createRuntime(
  model: Model,
  options: Omit<RuntimeOptions, "model" | "weightScale">,
  registry: Registry,
): Runtime {
  const { host, entries, isa } = openKernels(registry.kernels, { isa: options.isa });
  const lostBefore = host.lostBytes;
  const hp = model.hyperparameters;
  const threads = options.threads ?? navigator.hardwareConcurrency;
  const pool = host.createPool(threads);
  const kernels = new KernelTable(entries);
  const measures = options.layout === undefined && !options.mapped;
  if (measures) kernels.prefer(fastestLayout(model, host, pool, kernels));
  const contextLength =
    options.contextLength ?? Math.min(hp.contextLength, runtimeDefaults.contextLength);
  const typeK = kvTypes[options.cacheTypeK ?? "f16"];
  const typeV = kvTypes[options.cacheTypeV ?? "f16"];
  const pageBytes = hp.layers * kvLayerBytes(hp.kvHeads, hp.headDim, typeK, typeV);
  const maxSequences = options.maxSequences ?? runtimeDefaults.maxSequences;
  const pages = pageCount(options, contextLength, pageBytes, maxSequences);
  const kv = host.alloc(pages * pageBytes, "the KV cache");
  const maxRows = Math.min(options.maxRows ?? runtimeDefaults.maxRows, contextLength);
  const rowsOfLogits = Math.floor(logitBytes / (hp.vocabulary * 4));
  const total = [...model.tensors.values()].reduce(
    (sum, tensor) => sum + tensor.parts.reduce((own, part) => own + part.byteLength, 0),
    0,
  );
  let loaded = 0;
  const weights = new WeightPacker(model, host, pool, kernels, {
    layout: options.layout,
    mapped: options.mapped,
    expertsResident: options.expertsResident,
    progress: (bytes) => {
      loaded += bytes;
      options.progress?.(loaded, total);
    },
  });
  const limits = {
    maxRows: Math.max(maxRows, maxSequences),
    maxLogitRows: Math.max(maxSequences, Math.min(maxRows, rowsOfLogits)),
    contextLength,
    kv: kv.address,
    pageBytes,
    kvTypeK: typeK,
    kvTypeV: typeV,
    maxSequences,
  };
  const recorder = new TapeRecorder({
    model,
    weights,
    kernels,
    host,
    pool,
    limits,
    mode: options.head ?? "auto",
    router: (name) => registry.router(name),
  });
  model.architecture.record(recorder);
  const tape = new Tape(recorder, host, pool, limits, pagePositions);
  const layout = kernels.ternaryLayout(options.layout);
  const open = !options.mapped && takesTime(model);
  const gemm = new Gemm(tape, kernels.linearsOf(layout), options.gemm, open);
  const own = { contextLength, threads, isa, layout: layout.format, bytes: total };
  const info = describeModel(model, own);
  if (host.lostBytes > lostBefore) throw cutOff(model.path);
  const parts = { model, tape, info, kernels, host, pool, weights, gemm, kv, pages, pageBytes };
  const runtime = new Runtime(parts);
  if (!options.headLater) while (runtime.prepare());
  return runtime;
}

/** Names the file without its folder: requests in work are told. */
function cutOff(path: string): WrinkleFreeError {
  return new WrinkleFreeError("bad_file", `${basename(path)} was cut off while it was in use`, {
    file: path,
    hint: "Put the file back and start again. Replace models by renaming the new file.",
  });
}

/** Pages of the pool: always room for one full context. */
function pageCount(
  options: Pick<RuntimeOptions, "kvMemory">,
  contextLength: number,
  pageBytes: number,
  maxSequences: number,
): number {
  const perContext = Math.ceil(contextLength / pagePositions);
  const memory = options.kvMemory ?? Math.floor(freemem() / 2);
  const pages = Math.min(perContext * maxSequences, Math.floor(memory / pageBytes));
  if (pages < perContext) {
    const mib = (bytes: number): number => Math.ceil(bytes / (1 << 20));
    throw new WrinkleFreeError(
      "out_of_memory",
      `a context of ${contextLength} tokens needs ${mib(perContext * pageBytes)} MiB of KV cache, ` +
        `${mib(memory)} MiB are given`,
      {
        flag: "--ctx-size",
        hint: "Lower --ctx-size, raise --kv-memory, or use --cache-type-k q8_0.",
      },
    );
  }
  return pages;
}

function describeModel(
  model: Model,
  own: { contextLength: number; threads: number; isa: string; layout: string; bytes: number },
): ModelInfo {
  const hp = model.hyperparameters;
  const formats = new Map<string, number>();
  let parameters = 0;
  for (const tensor of model.tensors.values()) {
    const count = tensor.shape.reduce((product, size) => product * size, 1);
    parameters += count;
    if (tensor.ternary) formats.set(tensor.format, (formats.get(tensor.format) ?? 0) + count);
  }
  const main = [...formats].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "float";
  const name = model.metadata["general.name"];
  return {
    path: model.path,
    name: typeof name === "string" ? name : (model.path.split("/").pop() ?? model.path),
    architecture: hp.architecture,
    parameters,
    bytes: own.bytes,
    contextLength: own.contextLength,
    trainedContextLength: hp.contextLength,
    vocabulary: hp.vocabulary,
    hidden: hp.hidden,
    layers: hp.layers,
    heads: hp.heads,
    kvHeads: hp.kvHeads,
    experts: hp.experts,
    quantization: main,
    isa: own.isa,
    layout: own.layout,
    threads: own.threads,
    pooling: poolings[Number(model.metadata[`${hp.architecture}.pooling_type`] ?? -1)],
  };
}
