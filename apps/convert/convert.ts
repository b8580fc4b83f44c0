// The conversion: source opened, output planned, tensors streamed, result proved, then named.
import { closeSync, existsSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Registry, WrinkleFreeError } from "../../core/index.ts";
import { GgufWriter } from "../../plugins/standard.ts";
import { proveForward } from "./forward.ts";
import { lockOutput } from "./lock.ts";
import type { ConvertOptions, ConvertReport } from "./options.ts";
import { createRunner, type JobRunner, type Phase } from "./pool.ts";
import { openSource, type Prepared, type PrepareOptions, prepare } from "./prepare.ts";
import { fingerprintOf, ResumeNote } from "./resume.ts";
import { refuseWarmup, sourceWarnings } from "./warnings.ts";

/**
 * Converts `options.source` to a GGUF file. Peak memory of a thread: six bytes a weight of the largest
 * ternary tensor (float32 masters, trits, packed), whatever the size of the model; embeddings go in
 * pieces. Throws WrinkleFreeError; nothing appears under the output's name unless all of it is there
 * and proved.
 */
export async function convert(options: ConvertOptions, registry: Registry): Promise<ConvertReport> {
  const started = performance.now();
  checkOutput(options);
  const warnings: string[] = [];
  const warn = (text: string): void => {
    warnings.push(text);
    options.warn?.(text);
  };
  const { progress: _progress, warn: _warn, signal, ...plain } = options;
  if (toCheckpoint(options)) return convertToCheckpoint(options, registry);
  using prepared = await prepare(plain, registry);
  refuseWarmup(prepared.model, options);
  for (const text of sourceWarnings(prepared.model, options)) warn(text);
  const { tensors } = prepared;
  const report = { output: options.output, tensors: tensors.length, warnings };
  if (options.dryRun) {
    const bytes = tensors.reduce((sum, tensor) => sum + tensor.byteLength, 0);
    return { ...report, bytes, ternaryWeights: 0, verifiedWeights: 0, seconds: 0 };
  }
  using _lock = lockOutput(options.output);
  const note = openNote(options, [prepared.tensors, prepared.metadata]);
  const writer = new GgufWriter(options.output, prepared.metadata, tensors, {
    types: (prepared.model.file as { metadataTypes?: ReadonlyMap<string, number> }).metadataTypes,
    done: note.done,
  });
  using runner = createRunner({
    prepared,
    writer,
    registry,
    options: plain as PrepareOptions,
    plugins: options.plugins,
    threads: options.threads,
    signal,
  });
  try {
    const totals = { verified: 0, rounded: 0 };
    await runPhase("write", prepared, runner, options, note, totals);
    writer.complete();
    if (options.verify !== false) await runPhase("verify", prepared, runner, options, note, totals);
    if (totals.rounded > 0) {
      warn(`${prepared.format} stores scales as float16, which rounded ${totals.rounded} of them`);
    }
    const forward =
      options.forward && options.verify !== false
        ? await proveForward(options, writer.temporary, writer.totalBytes, registry)
        : {};
    writer.rename();
    note.remove();
    return {
      ...report,
      ...forward,
      bytes: writer.totalBytes,
      ternaryWeights: countTernary(prepared),
      verifiedWeights: totals.verified,
      sha256: options.checksum === false ? undefined : digest(options.output),
      seconds: (performance.now() - started) / 1000,
    };
  } catch (error) {
    const interrupted = error instanceof WrinkleFreeError && error.code === "cancelled";
    if (interrupted) note.save();
    else note.remove();
    writer.abort({ keep: interrupted });
    throw error;
  }
}

/** Packed weights outside of a GGUF file are a checkpoint folder. */
function toCheckpoint({ quantize, output }: ConvertOptions): boolean {
  return quantize === "hf-packed" && !output.endsWith(".gguf");
}

async function convertToCheckpoint(
  options: ConvertOptions,
  registry: Registry,
): Promise<ConvertReport> {
  const { writeCheckpoint } = await import("./checkpoint/output.ts");
  using model = await openSource(options, registry);
  refuseWarmup(model, options);
  using _lock = options.dryRun ? undefined : lockOutput(options.output);
  return await writeCheckpoint(options, registry, model, (header) => openNote(options, header));
}

function checkOutput(options: ConvertOptions): void {
  if (options.overwrite === false && existsSync(options.output)) {
    throw new WrinkleFreeError("usage", `${options.output} exists`, {
      flag: "-o",
      hint: "Choose another name, or leave out --no-overwrite.",
    });
  }
  if (resolve(options.output) === resolve(options.source)) {
    throw new WrinkleFreeError("usage", "the output would replace the source", { flag: "-o" });
  }
  if (statSync(options.output, { throwIfNoEntry: false })?.isDirectory()) {
    throw new WrinkleFreeError("usage", `${options.output} is a folder`, {
      flag: "-o",
      hint: "Give the name of a file, such as model.gguf.",
    });
  }
}

function openNote(options: ConvertOptions, header: unknown): ResumeNote {
  const { source } = options;
  const isFolder = statSync(source).isDirectory();
  const files = isFolder ? readdirSync(source).map((name) => join(source, name)) : [source];
  const plain = files.filter((path) => statSync(path).isFile()).sort();
  const fingerprint = fingerprintOf(plain, header);
  return ResumeNote.open(`${options.output}.part`, fingerprint, options.resume ?? false);
}

async function runPhase(
  phase: Phase,
  prepared: Prepared,
  runner: JobRunner,
  options: ConvertOptions,
  note: ResumeNote,
  totals: { verified: number; rounded: number },
): Promise<void> {
  const totalBytes = prepared.tensors.reduce((sum, tensor) => sum + tensor.byteLength, 0);
  let bytes = 0;
  const todo: number[] = [];
  for (const [index, { tensor, scale }] of prepared.jobs.entries()) {
    const done = note.done.has(tensor.name) && (!scale || note.done.has(scale.name));
    if (phase === "verify" || !done) todo.push(index);
    else bytes += tensor.byteLength;
  }
  await runner.run(phase, todo, (index, proof) => {
    const { tensor, scale } = prepared.jobs[index] as Prepared["jobs"][number];
    if (phase === "write") note.add(tensor.name, ...(scale ? [scale.name] : []));
    bytes += tensor.byteLength;
    totals.verified += proof?.weights ?? 0;
    totals.rounded += proof?.rounded ? 1 : 0;
    options.progress?.({ phase, tensor: tensor.name, bytes, totalBytes });
  });
}

function countTernary({ planned }: Prepared): number {
  return planned
    .filter((tensor) => tensor.kind === "ternary")
    .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}

function digest(path: string): string {
  const hasher = new Bun.CryptoHasher("sha256");
  const piece = new Uint8Array(1 << 22);
  const handle = openSync(path, "r");
  try {
    for (let n = readSync(handle, piece); n > 0; n = readSync(handle, piece)) {
      hasher.update(piece.subarray(0, n));
    }
  } finally {
    closeSync(handle);
  }
  return hasher.digest("hex");
}
