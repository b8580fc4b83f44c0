// Writes a model as a packed Hugging Face checkpoint, so that trained weights can go back to transformers.
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Registry, WrinkleFreeError } from "../../../core/index.ts";
import { type Model, type ModelTensor, openModel } from "../../../core/model.ts";
import { writeFailure } from "../../../plugins/standard.ts";
import type { ConvertOptions, ConvertReport } from "../options.ts";
import { regroup } from "../regroup.ts";
import type { ResumeNote } from "../resume.ts";
import { Source } from "../source.ts";
import { checkpointConfig, companionFiles, hasCheckpointForm } from "./config.ts";
import { checkpointName } from "./names.ts";
import { type PlannedEntry, SafetensorsWriter } from "./writer.ts";

const dtypes: Readonly<Record<string, PlannedEntry["dtype"]>> = {
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
};

/** Families whose GGUF files keep q and k for RoPE on neighbours; transformers rotates halves. */
const interleaved = new Set(["llama", "minicpm"]);

/**
 * Writes `options.output`, a folder, with model.safetensors, config.json and the tokenizer's files.
 * The folder appears when it is complete and proved. Throws what `convert` throws.
 */
export async function writeCheckpoint(
  options: ConvertOptions,
  registry: Registry,
  model: Model,
  openNote: (header: unknown) => ResumeNote,
): Promise<ConvertReport> {
  const started = performance.now();
  if (existsSync(options.output)) {
    throw new WrinkleFreeError("usage", `${options.output} exists`, {
      flag: "-o",
      hint: "Give the name of a new folder.",
    });
  }
  if (!hasCheckpointForm(model)) {
    const { architecture } = model.hyperparameters;
    throw new WrinkleFreeError(
      "unsupported",
      `transformers has no packed form of ${architecture}`,
      {
        file: model.path,
      },
    );
  }
  const source = new Source(model, orderOf(model), options.naive);
  const tensors = [...model.tensors.values()].filter(({ name }) => checkpointName(name, 0));
  const entries = tensors.flatMap((tensor) => entriesOf(tensor, registry));
  const totalBytes = entries.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const report = {
    output: options.output,
    tensors: entries.length,
    warnings: [],
    bytes: totalBytes,
  };
  if (options.dryRun) return { ...report, ternaryWeights: 0, verifiedWeights: 0, seconds: 0 };
  const temporary = `${options.output}.part`;
  const note = openNote(entries);
  if (note.done.size === 0) rmSync(temporary, { recursive: true, force: true });
  try {
    mkdirSync(temporary, { recursive: true });
    await writeTensors(options, registry, source, {
      temporary,
      entries,
      tensors,
      note,
      totalBytes,
    });
    writeJson(temporary, "config.json", checkpointConfig(model));
    for (const [name, content] of companionFiles(model)) writeJson(temporary, name, content);
    const prove = options.verify !== false;
    const verifiedWeights = prove ? await verify(temporary, tensors, source, registry) : 0;
    renameSync(temporary, options.output);
    note.remove();
    const seconds = (performance.now() - started) / 1000;
    return { ...report, ternaryWeights: countTernary(tensors), verifiedWeights, seconds };
  } catch (error) {
    if (error instanceof WrinkleFreeError && error.code === "cancelled") {
      note.save();
      throw error;
    }
    note.remove();
    rmSync(temporary, { recursive: true, force: true });
    throw isWriting(error) ? writeFailure(options.output, totalBytes, error) : error;
  }
}

interface Writing {
  readonly temporary: string;
  readonly entries: readonly PlannedEntry[];
  readonly tensors: readonly ModelTensor[];
  readonly note: ResumeNote;
  readonly totalBytes: number;
}

/** Writes the tensors that the note does not call whole. Throws `cancelled` on the signal. */
async function writeTensors(
  { progress, signal }: ConvertOptions,
  registry: Registry,
  source: Source,
  { temporary, entries, tensors, note, totalBytes }: Writing,
): Promise<void> {
  const path = join(temporary, "model.safetensors");
  const writer = new SafetensorsWriter(path, entries, note.done.size > 0);
  try {
    for (const tensor of tensors) {
      if (note.done.has(tensor.name)) {
        for (const entry of entriesOf(tensor, registry)) writer.skip(entry.byteLength);
      } else writeTensor(writer, tensor, source, registry);
      note.add(tensor.name);
      progress?.({ phase: "write", tensor: tensor.name, bytes: writer.bytes, totalBytes });
      // Lets the signal in.
      await Bun.sleep(0);
      if (signal?.aborted)
        throw new WrinkleFreeError("cancelled", "the conversion was interrupted");
    }
  } finally {
    writer.finish();
  }
}

function countTernary(tensors: readonly ModelTensor[]): number {
  return tensors
    .filter(({ ternary }) => ternary)
    .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}

/** Whether the system, not we, refused: reading goes through mapped files, which throw our errors. */
function isWriting(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException).syscall === "string";
}

function orderOf(model: Model): "half" | undefined {
  const { architecture } = model.hyperparameters;
  const kind = model.metadata[`${architecture}.rope.kind`];
  const stored = kind ?? (interleaved.has(architecture) ? "interleaved" : "half");
  return stored === "interleaved" ? "half" : undefined;
}

function writeJson(folder: string, name: string, content: unknown): void {
  writeFileSync(join(folder, name), `${JSON.stringify(content, null, 2)}\n`);
}

/** Format that a float tensor is stored in: its own where safetensors has it. */
function floatFormat(tensor: ModelTensor): string {
  return tensor.format in dtypes ? tensor.format : "f16";
}

/** Matrices of a tensor: the experts of a stack, or the tensor itself. */
function matrices({ name, shape }: ModelTensor): { count: number; shape: readonly number[] } {
  const stack = /_exps\./.test(name);
  return { count: stack ? (shape[0] ?? 1) : 1, shape: stack ? shape.slice(1) : shape };
}

function entriesOf(tensor: ModelTensor, registry: Registry): PlannedEntry[] {
  const { count, shape } = matrices(tensor);
  return Array.from({ length: count }, (_, expert): PlannedEntry[] => {
    const name = checkpointName(tensor.name, expert) as string;
    if (!tensor.ternary) {
      const format = floatFormat(tensor);
      const byteLength = registry.quantizer(format).byteLength(shape);
      return [{ name, dtype: dtypes[format] as PlannedEntry["dtype"], shape, byteLength }];
    }
    const byteLength = registry.quantizer("hf-packed").byteLength(shape);
    const [rows = 0, columns = 0] = shape;
    const scale = `${name}_scale`;
    return [
      { name, dtype: "U8", shape: [rows / 4, columns], byteLength },
      { name: scale, dtype: "F32", shape: [1], byteLength: 4 },
    ];
  }).flat();
}

function writeTensor(
  writer: SafetensorsWriter,
  tensor: ModelTensor,
  source: Source,
  registry: Registry,
): void {
  const { count, shape } = matrices(tensor);
  const size = shape.reduce((a, b) => a * b, 1);
  if (!tensor.ternary) {
    const values = source.floats(tensor);
    const quantizer = registry.quantizer(floatFormat(tensor));
    for (let i = 0; i < count; i++) {
      writer.append(quantizer.encode(values.subarray(i * size, (i + 1) * size), shape).bytes);
    }
    return;
  }
  const weights = source.trits(tensor);
  const scales = regroup(weights, size, "hf-packed");
  const pack = registry.quantizer("hf-packed").ternary?.pack;
  for (let i = 0; i < count; i++) {
    const trits = weights.trits.subarray(i * size, (i + 1) * size);
    const scale = scales.slice(i, i + 1);
    writer.append(pack?.({ trits, scales: scale }, shape).bytes ?? new Uint8Array(0));
    writer.append(new Uint8Array(scale.buffer));
  }
}

/** Re-opens the folder and compares every ternary weight and scale. */
async function verify(
  folder: string,
  tensors: readonly ModelTensor[],
  source: Source,
  registry: Registry,
): Promise<number> {
  using output = await openModel(folder, registry);
  const written = new Source(output, undefined);
  let weights = 0;
  for (const tensor of tensors) {
    if (!tensor.ternary) continue;
    const [wanted, got] = [source.trits(tensor), written.trits(output.tensor(tensor.name))];
    const scales = regroup(wanted, got.size, "hf-packed");
    const same =
      Buffer.compare(Buffer.from(wanted.trits.buffer), Buffer.from(got.trits.buffer)) === 0 &&
      scales.every((scale, i) => scale === got.scales[i]);
    if (!same) {
      throw new WrinkleFreeError("internal", `verification failed: ${tensor.name}`, {
        tensor: tensor.name,
      });
    }
    weights += got.trits.length;
  }
  return weights;
}
