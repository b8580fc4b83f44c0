// Opens a source and plans its output: the same in the main thread and in every worker.
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type MetadataValue, type Registry, readJson, WrinkleFreeError } from "../../core/index.ts";
import { type Model, openModel } from "../../core/model.ts";
import type { TensorPlan } from "../../plugins/standard.ts";
import { type Job, jobsOf } from "./encode.ts";
import { outputMetadata } from "./metadata.ts";
import { checkMixture, mixtureOf, routerTensors } from "./mixture.ts";
import type { ConvertOptions } from "./options.ts";
import { type PlannedTensor, planTensors } from "./plan.ts";
import { computedTensors } from "./rope-factors.ts";
import { type Reorder, Source } from "./source.ts";

/** ggml's type of plain bytes. */
const byteType = 24;

/** What decides an output; plain data, so that a worker can have it. */
export type PrepareOptions = Omit<ConvertOptions, "progress" | "warn" | "signal">;

export interface Prepared extends Disposable {
  readonly model: Model;
  readonly source: Source;
  readonly format: string;
  readonly planned: readonly PlannedTensor[];
  readonly jobs: readonly Job[];
  readonly metadata: Record<string, MetadataValue>;
  readonly tensors: readonly TensorPlan[];
}

/** Throws what openModel and planTensors throw; the caller disposes of the result. */
export async function prepare(options: PrepareOptions, registry: Registry): Promise<Prepared> {
  const { mixture } = options;
  if (mixture) checkMixture(mixture);
  const opened = await openSource(options, registry);
  try {
    const model = mixture ? mixtureOf(opened, mixture) : opened;
    const routers = mixture ? routerTensors(model, registry, mixture) : [];
    const reorder = reorderOf(model);
    const planned = [
      ...planTensors(model, registry, options),
      ...computedTensors(model, registry),
      ...routers,
    ];
    const format = options.quantize ?? "i2_s";
    return {
      model,
      source: new Source(model, reorder, options.naive),
      format,
      planned,
      jobs: jobsOf(planned),
      metadata: outputMetadata(model, planned, format, reorder, options),
      tensors: planned.map(toGguf),
      [Symbol.dispose]: () => model[Symbol.dispose](),
    };
  } catch (error) {
    opened[Symbol.dispose]();
    throw error;
  }
}

/** The source as the options want it read. */
export function openSource(options: PrepareOptions, registry: Registry): Promise<Model> {
  return openModel(options.source, registry, {
    weightScale: options.weightScale,
    config: options.config === undefined ? undefined : readConfig(options.config),
  });
}

/** A config.json, or the one in a folder. */
function readConfig(path: string): Readonly<Record<string, unknown>> {
  const name = "config.json";
  const inFolder = existsSync(join(path, name));
  const [folder, file] = inFolder ? [path, name] : [dirname(path), basename(path)];
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

function toGguf(planned: PlannedTensor): TensorPlan {
  const { name, byteLength } = planned;
  const type = planned.quantizer.ggufType;
  if (type !== undefined) return { name, shape: planned.shape, type, byteLength };
  return { name, shape: [byteLength], type: byteType, byteLength };
}
