// Measures loading: from opening a file to the first token, as the server does it, and memory after.

import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { cpus } from "node:os";
import { defaultSamplingOptions, openModel, type Registry } from "../../core/index.ts";
import { findModelFile } from "../manage/find.ts";
import { loadModel } from "../server/load.ts";
import { cacheBytes } from "./cache-bytes.ts";
import { median } from "./measure.ts";
import { syntheticPath } from "./model-file.ts";
import type { BenchOptions } from "./options.ts";
import { percent, round } from "./report.ts";

/** Milliseconds from the start. */
interface Times {
  /** Weights packed, tokenizer built, engine waiting. */
  readonly ready: number;
  readonly firstToken: number;
}

/** Bytes of this process in memory; of the file's pages and of others where the system tells. */
interface Resident {
  readonly total: number;
  /** Most at any time so far. */
  readonly peak?: number;
  readonly anonymous?: number;
  readonly file?: number;
}

/** Tokens before memory is read: what is made after the first one is there by then. */
const settledTokens = 16;

const defaultContext = 2048;
const prompt = "The quick brown fox";
const mebi = 2 ** 20;

export async function runLoad(options: BenchOptions, registry: Registry): Promise<void> {
  const path = options.model
    ? await findModelFile(options.model, options.plugin)
    : syntheticPath(options.shape, registry);
  const fileBytes = warm(path);
  const needed = fileBytes + (await contextBytes(path, options, registry));
  Bun.gc(true);
  const before = resident();
  const runs: Times[] = [];
  let after = before;
  let isa = "";
  let layout = "";
  let threads = 0;
  for (let i = 0; i < options.repetitions; i++) {
    const loaded = await loadOnce(path, options, registry);
    runs.push(loaded.times);
    if (i === 0) after = loaded.memory;
    ({ isa, layout, threads } = loaded);
  }
  const load = {
    shape: options.model ?? options.shape,
    threads,
    layout,
    mmap: options.mmap ?? false,
    file_bytes: fileBytes,
    context: options.ctxSize ?? defaultContext,
    ready_ms: runs.map((run) => round(run.ready, 1)),
    first_token_ms: runs.map((run) => round(run.firstToken, 1)),
    resident_before: before,
    resident: after,
    weights_and_kv: needed,
    peak_of_weights_and_kv: after.peak === undefined ? undefined : round(after.peak / needed, 3),
  };
  if (options.json) {
    const cpu = cpus()[0]?.model.trim() ?? "unknown";
    console.log(JSON.stringify({ machine: { cpu, isa }, load }));
    return;
  }
  console.log(
    `${path}: ${Math.round(fileBytes / mebi)} MiB, ${isa}, ${layout}, ${threads} threads`,
  );
  console.log(`ready          ${line(load.ready_ms)}`);
  console.log(`first token    ${line(load.first_token_ms)}`);
  console.log(`resident       ${memoryLine(after)} (before: ${memoryLine(before)})`);
  if (after.peak === undefined) return;
  const share = percent(after.peak / needed);
  console.log(`peak           ${mib(after.peak)}, ${share} of weights + KV (${mib(needed)})`);
}

async function loadOnce(path: string, options: BenchOptions, registry: Registry) {
  const start = performance.now();
  const model = await loadModel(registry, {
    model: path,
    contextLength: options.ctxSize ?? defaultContext,
    threads: options.threads,
    isa: options.isa,
    layout: options.layout,
    mapped: options.mmap,
    expertsResident: options.expertsResident,
    head: options.head,
    cacheTypeK: options.cacheTypeK,
    cacheTypeV: options.cacheTypeV,
    maxSequences: 1,
  });
  const ready = performance.now() - start;
  const tokens = model.tokenizer.encode(prompt);
  const sampling = { ...defaultSamplingOptions(registry.samplers), temperature: 0 };
  let firstToken = 0;
  const request = { prompt: tokens, maxTokens: settledTokens, sampling, endTokens: [] };
  for await (const event of model.client.generate(request)) {
    if (event.type === "token") firstToken ||= performance.now() - start;
  }
  const memory = resident();
  const { isa, layout, threads } = model.client.info;
  await model.close();
  return { times: { ready, firstToken }, memory, isa, layout, threads };
}

/** Bytes of cached keys and values of one whole context. */
async function contextBytes(path: string, options: BenchOptions, registry: Registry) {
  using model = await openModel(path, registry);
  return cacheBytes(model, options, options.ctxSize ?? defaultContext);
}

/** Reads a file once, so that it lies in the page cache. Returns its bytes; a folder's own only. */
function warm(path: string): number {
  const { size } = statSync(path);
  if (statSync(path).isDirectory()) return size;
  const piece = new Uint8Array(8 * mebi);
  const handle = openSync(path, "r");
  try {
    while (readSync(handle, piece) > 0);
  } finally {
    closeSync(handle);
  }
  return size;
}

function resident(): Resident {
  const total = process.memoryUsage.rss();
  if (process.platform !== "linux") return { total };
  const status = readFileSync("/proc/self/status", "utf8");
  const kib = (name: string): number =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  return {
    total: kib("VmRSS"),
    peak: kib("VmHWM"),
    anonymous: kib("RssAnon"),
    file: kib("RssFile"),
  };
}

function line(values: readonly number[]): string {
  const rest = values.map((value) => value.toFixed(0)).join(", ");
  return `${median(values).toFixed(0)} ms (median of ${rest})`;
}

function mib(bytes: number): string {
  return `${Math.round(bytes / mebi)} MiB`;
}

function memoryLine({ total, anonymous, file }: Resident): string {
  if (anonymous === undefined || file === undefined) return mib(total);
  return `${mib(total)}: ${mib(anonymous)} own, ${mib(file)} of files`;
}
