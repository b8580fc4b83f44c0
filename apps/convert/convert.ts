// The conversion: source opened, output planned, tensors streamed one by one, result proved.
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Registry, readJson, WrinkleFreeError } from "../../core/index.ts";
import { type Model, openModel } from "../../core/model.ts";
import { GgufWriter, type TensorPlan } from "../../plugins/standard.ts";
import { Encoder } from "./encode.ts";
import { outputMetadata } from "./metadata.ts";
import type { ConvertOptions, ConvertReport } from "./options.ts";
import { type PlannedTensor, planTensors } from "./plan.ts";
import { computedTensors } from "./rope-factors.ts";
import { type Reorder, Source } from "./source.ts";
import { verify } from "./verify.ts";

/** ggml's type of plain bytes. */
const byteType = 24;

/**
 * Converts `options.source` to a GGUF file. Peak memory: about six times the largest tensor's weights
 * in bytes (float32 values, trits, packed), whatever the size of the model. Throws WrinkleFreeError;
 * nothing appears under the output's name unless all of it is there and proved.
 */
export async function convert(options: ConvertOptions, registry: Registry): Promise<ConvertReport> {
  const started = performance.now();
  const warnings: string[] = [];
  const warn = (text: string): void => {
    warnings.push(text);
    options.warn?.(text);
  };
  checkOutput(options);
  using model = await openModel(options.source, registry, {
    weightScale: options.weightScale,
    config: options.config === undefined ? undefined : readConfig(options.config),
  });
  const reorder = reorderOf(model);
  const planned = [...planTensors(model, registry, options), ...computedTensors(model, registry)];
  const format = options.quantize ?? "i2_s";
  const metadata = outputMetadata(model, planned, format, reorder, options);
  const tensors = planned.map(toGguf);
  const source = new Source(model, reorder, options.naive);
  const report = { output: options.output, tensors: planned.length, warnings };
  if (options.naive) warn(naiveWarning);
  if (options.dryRun) {
    const bytes = tensors.reduce((sum, tensor) => sum + tensor.byteLength, 0);
    return { ...report, bytes, ternaryWeights: 0, verifiedWeights: 0, seconds: 0 };
  }
  const writer = new GgufWriter(options.output, metadata, tensors, { types: typesOf(model) });
  try {
    writeTensors(writer, planned, new Encoder(source), options);
    let verified = 0;
    writer.complete();
    if (options.verify !== false) {
      verified = await verify(writer.temporary, planned, source, registry, { ...options, warn });
    }
    writer.rename();
    return {
      ...report,
      bytes: writer.totalBytes,
      ternaryWeights: countTernary(planned),
      verifiedWeights: verified,
      seconds: (performance.now() - started) / 1000,
    };
  } catch (error) {
    writer.abort();
    throw error;
  }
}

const naiveWarning =
  "--naive rounds weights that were not trained to be ternary: expect nonsense from the model";

function checkOutput(options: ConvertOptions): void {
  if (options.overwrite === false && existsSync(options.output)) {
    throw new WrinkleFreeError("usage", `${options.output} exists`, {
      flag: "-o",
      hint: "Choose another name, or add --overwrite.",
    });
  }
  if (options.output === options.source) {
    throw new WrinkleFreeError("usage", "the output would replace the source", { flag: "-o" });
  }
}

/** A config.json, or the one in a folder. */
function readConfig(path: string): Readonly<Record<string, unknown>> {
  const name = "config.json";
  const [folder, file] = existsSync(join(path, name))
    ? [path, name]
    : [dirname(path), basename(path)];
  const config = readJson(folder, file);
  if (config) return config;
  throw new WrinkleFreeError("usage", `--config ${path}: there is no such file`, {
    flag: "--config",
  });
}

/** Families whose GGUF files hold q and k for RoPE on neighbours. */
const interleaved = new Set(["llama", "minicpm"]);

/** How q and k rows must move so that the file is as its family's GGUF files are. */
function reorderOf(model: Model): Reorder {
  const { architecture } = model.hyperparameters;
  const kind = model.metadata[`${architecture}.rope.kind`];
  if (kind === undefined) return undefined;
  const wanted = interleaved.has(architecture) ? "interleaved" : "half";
  return kind === wanted ? undefined : wanted;
}

function typesOf(model: Model): ReadonlyMap<string, number> | undefined {
  return (model.file as { metadataTypes?: ReadonlyMap<string, number> }).metadataTypes;
}

function toGguf(planned: PlannedTensor): TensorPlan {
  const { name, byteLength } = planned;
  const type = planned.quantizer.ggufType;
  if (type !== undefined) return { name, shape: planned.shape, type, byteLength };
  return { name, shape: [byteLength], type: byteType, byteLength };
}

function writeTensors(
  writer: GgufWriter,
  planned: readonly PlannedTensor[],
  encoder: Encoder,
  options: ConvertOptions,
): void {
  let bytes = 0;
  for (const tensor of planned) {
    if (options.signal?.aborted) throw new WrinkleFreeError("cancelled", "conversion cancelled");
    writer.write(tensor.name, encoder.encode(tensor));
    bytes += tensor.byteLength;
    const { totalBytes } = writer;
    options.progress?.({ phase: "write", tensor: tensor.name, bytes, totalBytes });
  }
}

function countTernary(planned: readonly PlannedTensor[]): number {
  return planned
    .filter((tensor) => tensor.kind === "ternary")
    .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}
