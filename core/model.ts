// A model opened for running or converting: tensors under GGUF names, hyperparameters, decoded on demand.
import { inFile, WrinkleFreeError } from "./errors.ts";
import { readHyperparameters } from "./hyperparameters.ts";
import { mapFilesWithKernels } from "./native/select.ts";
import type { Architecture, Hyperparameters, ModelView } from "./plugin/architecture.ts";
import type { MetadataValue, ModelFile, TensorInfo, TokenizerSource } from "./plugin/loader.ts";
import type { Quantizer, TensorData } from "./plugin/quantizer.ts";
import type { Registry } from "./registry.ts";
import { type Ternary, ternarize, ternarizeCodes, ternaryFromValues } from "./ternary.ts";

/** One tensor under its GGUF name. Stacked experts of a checkpoint have one part an expert. */
export interface ModelTensor {
  readonly name: string;
  /** Row-major, outermost first: [out, in], [n], or [experts, out, in]. */
  readonly shape: readonly number[];
  readonly format: string;
  readonly quantizer: Quantizer;
  readonly parts: readonly TensorInfo[];
  /** Factors to multiply by that the file keeps apart: one a tensor, or one an expert. */
  readonly scale?: Float32Array;
  /** Float master weights that the model defines as ternary (quantized by absmean at load). */
  readonly masters: boolean;
  /** Whether the linear runs on ternary weights. */
  readonly ternary: boolean;
}

export interface OpenModelOptions {
  /** Overrides how a packed checkpoint's weight_scale is read. */
  readonly weightScale?: "direct" | "inverse";
  /** Parsed config.json of a checkpoint folder that has none. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Names of linears that BitNet training never quantizes, besides embedding and output. */
const alwaysFloat = /(^|\.)(ffn_gate_inp|token_embd|output|.*norm.*)\.weight$/;

export class Model implements ModelView {
  readonly path: string;
  readonly file: ModelFile;
  readonly architecture: Architecture;
  readonly hyperparameters: Hyperparameters;
  readonly metadata: Readonly<Record<string, MetadataValue>>;
  readonly tensors: ReadonlyMap<string, ModelTensor>;
  /** End-of-generation ids that the file lists beside the tokenizer's own. */
  readonly endTokens: readonly number[];

  constructor(
    file: ModelFile,
    architecture: Architecture,
    metadata: Readonly<Record<string, MetadataValue>>,
    tensors: ReadonlyMap<string, ModelTensor>,
  ) {
    this.path = file.path;
    this.file = file;
    this.architecture = architecture;
    this.metadata = metadata;
    this.tensors = tensors;
    this.hyperparameters = readHyperparameters(
      file.path,
      metadata,
      (name) => tensors.get(name)?.shape,
      architecture.activation,
    );
    this.endTokens = listedEndTokens(file, metadata);
  }

  get tokenizer(): TokenizerSource | undefined {
    return this.file.tokenizer;
  }

  get chatTemplate(): string | undefined {
    return this.file.chatTemplate;
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  shape(name: string): readonly number[] {
    return this.tensor(name).shape;
  }

  tensor(name: string): ModelTensor {
    const tensor = this.tensors.get(name);
    if (!tensor) {
      throw new WrinkleFreeError("bad_file", `${this.path}: tensor ${name} is missing`, {
        file: this.path,
        tensor: name,
        hint: "The file is incomplete or of another architecture; convert it again.",
      });
    }
    return tensor;
  }

  /** Encoded bytes and scale of one part (expert) of a tensor, or of the whole of a single-part one. */
  data(name: string, part = 0): TensorData {
    const tensor = this.tensor(name);
    const info = tensor.parts[part];
    if (!info) throw new WrinkleFreeError("internal", `${name} has no part ${part}`);
    const bytes = this.file.bytes(info.name);
    const { parameters } = info;
    if (tensor.scale === undefined) return { bytes, parameters };
    const own = tensor.parts.length > 1 ? tensor.scale.subarray(part, part + 1) : tensor.scale;
    return { bytes, scale: own, parameters };
  }

  /** Row-major float32 values of a tensor (of one part, when stacked from several). */
  floats(name: string, part = 0): Float32Array {
    const tensor = this.tensor(name);
    return tensor.quantizer.decode(this.data(name, part), partShape(tensor));
  }

  /** Trits and scales of a ternary linear (of one part): exact for ternary formats, absmean for masters. */
  ternary(name: string, part = 0): Ternary {
    const tensor = this.tensor(name);
    const shape = partShape(tensor);
    const format = tensor.quantizer.ternary;
    if (format?.unpack)
      return { ...format.unpack(this.data(name, part), shape), group: format.group };
    if (tensor.masters) return this.absmean(name, part);
    const values = this.floats(name, part);
    return ternaryFromValues(
      values,
      shape,
      tensor.quantizer.ternary?.group,
      this.data(name, part).scale,
      {
        file: this.path,
        tensor: name,
      },
    );
  }

  /** A matrix of floats (one part) ternarized as BitNet does. */
  absmean(name: string, part = 0): Ternary {
    const tensor = this.tensor(name);
    const { bytes } = this.data(name, part);
    const values = valuesOfCodes(tensor.quantizer);
    if (values === undefined || bytes.byteOffset % 2 !== 0) {
      return ternarize(this.floats(name, part), partShape(tensor));
    }
    const codes = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
    return ternarizeCodes(codes, values);
  }

  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
  }
}

const codeTables = new Map<string, Float32Array>();

/** What each code of a 16-bit float format means; undefined for other formats. */
function valuesOfCodes(quantizer: Quantizer): Float32Array | undefined {
  const { format } = quantizer;
  if (format !== "f16" && format !== "bf16") return undefined;
  let values = codeTables.get(format);
  if (values === undefined) {
    const codes = Uint16Array.from({ length: 65536 }, (_, code) => code);
    values = quantizer.decode({ bytes: new Uint8Array(codes.buffer) }, [codes.length]);
    codeTables.set(format, values);
  }
  return values;
}

function partShape(tensor: ModelTensor): readonly number[] {
  return tensor.parts.length > 1 ? tensor.shape.slice(1) : tensor.shape;
}

/** Opens a model file or checkpoint folder. Throws `bad_file`, `unsupported`, `not_found`. */
export async function openModel(
  path: string,
  registry: Registry,
  options: OpenModelOptions = {},
): Promise<Model> {
  const loader = registry.loader(path);
  mapFilesWithKernels(registry.kernels);
  const file = await loader.open(path, { config: options.config });
  try {
    return modelOfFile(file, registry, options);
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/** The model in an open file; the model owns the file from then on. */
export function modelOfFile(
  file: ModelFile,
  registry: Registry,
  options: OpenModelOptions = {},
): Model {
  return inFile(file.path, () =>
    file.kind === "gguf" ? fromGguf(file, registry) : fromCheckpoint(file, registry, options),
  );
}

function fromGguf(file: ModelFile, registry: Registry): Model {
  const name = file.metadata["general.architecture"];
  if (typeof name !== "string") {
    throw new WrinkleFreeError("bad_file", `${file.path}: general.architecture is missing`, {
      file: file.path,
      field: "general.architecture",
      hint: "The file is not a language model, or was written by a broken converter.",
    });
  }
  const tensors = new Map<string, ModelTensor>();
  for (const info of file.tensors.values()) {
    if (isCompanion(info.name, file.tensors)) continue;
    const scale = companionScale(file, registry, info.name);
    tensors.set(
      info.name,
      describe(file.path, registry, info.name, [info], info.shape, scale, false),
    );
  }
  return new Model(file, registry.architecture(name), file.metadata, tensors);
}

/** Scale tensors belong to the linear they scale: `<base>.scale`, or tl1/tl2's `<name>_scale`. */
function isCompanion(name: string, tensors: ReadonlyMap<string, unknown>): boolean {
  if (name.endsWith("_scale")) return tensors.has(name.slice(0, -"_scale".length));
  if (name.endsWith(".scale")) return tensors.has(`${name.slice(0, -".scale".length)}.weight`);
  return false;
}

function companionScale(
  file: ModelFile,
  registry: Registry,
  name: string,
): Float32Array | undefined {
  const base = name.endsWith(".weight") ? name.slice(0, -".weight".length) : name;
  const info = file.tensors.get(`${base}.scale`) ?? file.tensors.get(`${name}_scale`);
  if (!info) return undefined;
  return checkedScale(file, info.name, readScale(file, registry, info));
}

function readScale(file: ModelFile, registry: Registry, info: TensorInfo): Float32Array {
  return registry.quantizer(info.format).decode({ bytes: file.bytes(info.name) }, info.shape);
}

function checkedScale(file: ModelFile, name: string, scale: Float32Array): Float32Array {
  for (const value of scale) {
    if (!Number.isFinite(value) || value <= 0) {
      throw new WrinkleFreeError("bad_file", `${file.path}: scale ${name} is ${value}`, {
        file: file.path,
        tensor: name,
        hint: "A weight scale must be a positive finite number; the checkpoint is damaged.",
      });
    }
  }
  return scale;
}

function fromCheckpoint(file: ModelFile, registry: Registry, options: OpenModelOptions): Model {
  const config = file.config ?? options.config;
  if (!config) {
    throw new WrinkleFreeError("bad_file", `${file.path} has no config.json`, {
      file: file.path,
      hint: "Pass the base model's config with --config FILE.",
    });
  }
  const architecture = registry.architectureForHuggingFace(config);
  const mapping = architecture.huggingFace;
  if (!mapping) throw new WrinkleFreeError("internal", "architecture without a mapping");
  const parts = new Map<string, TensorInfo[]>();
  for (const info of file.tensors.values()) {
    const target = mapping.tensor(info.name, config);
    if (!target) continue;
    const list = parts.get(target.name) ?? [];
    list[target.expert ?? 0] = info;
    parts.set(target.name, list);
  }
  const quantization = (config.quantization_config ?? {}) as Record<string, unknown>;
  const online =
    quantization.quant_method === "bitnet" && quantization.quantization_mode === "online";
  const inverse =
    options.weightScale === undefined
      ? quantization.linear_class !== "autobitlinear"
      : options.weightScale === "inverse";
  const tensors = new Map<string, ModelTensor>();
  for (const [name, list] of parts) {
    if (name.endsWith(".scale")) continue;
    const first = list[0];
    if (!first || list.includes(undefined as never)) {
      throw new WrinkleFreeError("bad_file", `${file.path}: ${name}: an expert is missing`, {
        file: file.path,
        tensor: name,
      });
    }
    const odd = list.find((info) => String(info.shape) !== String(first.shape));
    if (odd) {
      throw new WrinkleFreeError(
        "bad_file",
        `${file.path}: ${name}: expert ${odd.name} has shape [${odd.shape}], others [${first.shape}]`,
        { file: file.path, tensor: odd.name },
      );
    }
    const shape = list.length > 1 ? [list.length, ...first.shape] : first.shape;
    const scales = name.endsWith(".weight") ? parts.get(`${name.slice(0, -7)}.scale`) : undefined;
    const scale = scales && joinScales(file, registry, name, scales, list.length, inverse);
    tensors.set(name, describe(file.path, registry, name, list, shape, scale, online));
  }
  return new Model(file, architecture, mapping.metadata(config), tensors);
}

function joinScales(
  file: ModelFile,
  registry: Registry,
  name: string,
  infos: readonly (TensorInfo | undefined)[],
  count: number,
  inverse: boolean,
): Float32Array {
  const scale = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const info = infos[i];
    if (!info) {
      throw new WrinkleFreeError("bad_file", `${file.path}: ${name}: weight_scale is missing`, {
        file: file.path,
        tensor: name,
      });
    }
    const value = checkedScale(file, info.name, readScale(file, registry, info))[0] ?? 1;
    scale[i] = inverse ? 1 / value : value;
  }
  return scale;
}

function noScale(path: string, name: string): WrinkleFreeError {
  return new WrinkleFreeError("bad_file", `${path}: ${name} has no weight scale`, {
    file: path,
    tensor: name,
    hint: "A packed tensor needs its weight_scale; the checkpoint is incomplete.",
  });
}

function describe(
  path: string,
  registry: Registry,
  name: string,
  parts: readonly TensorInfo[],
  shape: readonly number[],
  scale: Float32Array | undefined,
  online: boolean,
): ModelTensor {
  const format = parts[0]?.format ?? "";
  const quantizer = registry.quantizer(format);
  if (quantizer.ternary?.separateScale && !scale) throw noScale(path, name);
  const linear = shape.length >= 2 && name.endsWith(".weight") && !alwaysFloat.test(name);
  const masters = online && linear && quantizer.ternary === undefined;
  return {
    name,
    shape,
    format,
    quantizer,
    parts,
    scale,
    masters,
    ternary: masters || (linear && quantizer.ternary !== undefined),
  };
}

function listedEndTokens(
  file: ModelFile,
  metadata: Readonly<Record<string, MetadataValue>>,
): readonly number[] {
  const ids = new Set<number>();
  const add = (value: unknown): void => {
    if (typeof value === "number") ids.add(value);
    else if (Array.isArray(value) || value instanceof Int32Array) for (const v of value) add(v);
  };
  add(file.generationConfig?.eos_token_id);
  add(file.config?.eos_token_id);
  add(metadata["tokenizer.ggml.eos_token_id"]);
  add(metadata["tokenizer.ggml.eot_token_id"]);
  add(metadata["tokenizer.ggml.eos_token_ids"]);
  return [...ids];
}
