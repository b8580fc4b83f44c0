// Decides what each tensor of the output is: its format, size and place; refuses what cannot be.
import { nearest, type Quantizer, type Registry, WrinkleFreeError } from "../../core/index.ts";
import type { Model, ModelTensor } from "../../core/model.ts";
import type { ConvertOptions } from "./options.ts";
import { pseudoTernary } from "./pseudo-ternary.ts";

/** One tensor of the output. */
export interface PlannedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly quantizer: Quantizer;
  readonly byteLength: number;
  /**
   * ternary: trits packed; float: values encoded; scale: what the ternary tensor before it keeps
   * apart; computed: values that the source does not hold.
   */
  readonly kind: "ternary" | "float" | "scale" | "computed";
  readonly source?: ModelTensor;
  readonly values?: Float32Array;
}

const floatLinear = /\.(ffn_gate_inp|ffn_gate_inp_shexp)\.weight$/;

/** The Quantizer named by a flag. Throws `usage` with the nearest name. */
export function quantizerFor(registry: Registry, name: string, flag: string): Quantizer {
  const wanted = name.toLowerCase();
  const known = registry.quantizers.map((quantizer) => quantizer.format);
  const found = known.find((format) => format === wanted);
  if (found !== undefined) return registry.quantizer(found);
  const guess = nearest(wanted, known);
  throw new WrinkleFreeError("usage", `${flag} ${name}: no such format`, {
    flag,
    hint: `${guess ? `Did you mean ${guess}? ` : ""}Known: ${known.join(", ")}.`,
  });
}

/** Tensors of the output in the model's order. Throws one error that lists every refusal. */
export function planTensors(
  model: Model,
  registry: Registry,
  options: ConvertOptions,
): PlannedTensor[] {
  const target = quantizerFor(registry, options.quantize ?? "i2_s", "-q");
  const planned: PlannedTensor[] = [];
  const refused: string[] = [];
  const linears = [...model.tensors.values()].filter(isLinear);
  const dense = linears.filter((tensor) => !options.naive && !holdsTernary(model, tensor));
  if (target.ternary && dense.length > 0) refuseDense(model, linears, dense, target.format);
  for (const tensor of inOrder(model)) {
    const quantizer = formatOf(tensor, target, registry, options, dense);
    try {
      planned.push(...describe(tensor, quantizer, registry));
    } catch (error) {
      if (!(error instanceof WrinkleFreeError)) throw error;
      refused.push(`${tensor.name}: ${error.message}`);
    }
  }
  if (refused.length > 0) throw refusal(model, target.format, refused);
  return planned;
}

function isLinear(tensor: ModelTensor): boolean {
  const { name, shape } = tensor;
  return (
    shape.length >= 2 &&
    name.startsWith("blk.") &&
    name.endsWith(".weight") &&
    !name.includes("norm") &&
    !floatLinear.test(name)
  );
}

/** Rows that are looked at to tell ternary weights stored as floats from dense ones. */
const sampleRows = 64;

/** Whether a linear is ternary by its format, by its model, or by the values it stores as floats. */
function holdsTernary(model: Model, tensor: ModelTensor): boolean {
  if (tensor.ternary) return true;
  if (!floatFormats.has(tensor.format)) return false;
  const columns = tensor.shape[tensor.shape.length - 1] ?? 1;
  const { bytes } = model.data(tensor.name);
  const rows = Math.min(
    sampleRows,
    Math.floor(bytes.byteLength / tensor.quantizer.byteLength([columns])),
  );
  const shape = [rows, columns];
  const sample = bytes.subarray(0, tensor.quantizer.byteLength(shape));
  return pseudoTernary(tensor.quantizer.decode({ bytes: sample }, shape), shape) !== undefined;
}

const floatFormats = new Set(["f32", "f16", "bf16"]);

/** Dense linears are kept in a block format (a mixed model); all others are refused. */
function refuseDense(
  model: Model,
  linears: readonly ModelTensor[],
  dense: readonly ModelTensor[],
  format: string,
): void {
  const mixed = dense.length < linears.length;
  if (mixed && dense.every((tensor) => !floatFormats.has(tensor.format))) return;
  throw notTernary(model, dense.length, format);
}

function formatOf(
  tensor: ModelTensor,
  target: Quantizer,
  registry: Registry,
  options: ConvertOptions,
  dense: readonly ModelTensor[],
): Quantizer {
  if (tensor.name === "token_embd.weight") {
    return quantizerFor(registry, options.embedding ?? kept(tensor), "--quant-embd");
  }
  if (tensor.name === "output.weight") {
    return quantizerFor(registry, options.head ?? kept(tensor), "--quant-output");
  }
  if (!isLinear(tensor)) return registry.quantizer("f32");
  return target.ternary && dense.includes(tensor) ? tensor.quantizer : target;
}

/** Format of an embedding or output for which none is asked: f16, or the source's own block format. */
function kept(tensor: ModelTensor): string {
  return floatFormats.has(tensor.format) || tensor.quantizer.ternary ? "f16" : tensor.format;
}

/** Embedding first, then layer by layer, then the output: the order in which a step reads them. */
function inOrder(model: Model): ModelTensor[] {
  const place = (name: string): number => {
    if (name.startsWith("token_embd")) return -1;
    const layer = /^blk\.(\d+)\./.exec(name)?.[1];
    return layer === undefined ? Number.MAX_SAFE_INTEGER : Number(layer);
  };
  return [...model.tensors.values()].sort((a, b) => place(a.name) - place(b.name));
}

function describe(tensor: ModelTensor, quantizer: Quantizer, registry: Registry): PlannedTensor[] {
  const { name, shape } = tensor;
  const byteLength = quantizer.byteLength(shape);
  const kind = quantizer.ternary ? "ternary" : "float";
  const planned: PlannedTensor[] = [{ name, shape, quantizer, byteLength, kind, source: tensor }];
  const experts = shape.length > 2 && quantizer.ternary?.group === undefined ? (shape[0] ?? 1) : 1;
  if (kind === "ternary" && (quantizer.ternary?.separateScale || experts > 1)) {
    const f32 = registry.quantizer("f32");
    planned.push({
      name: scaleName(name, quantizer.format),
      shape: [experts],
      quantizer: f32,
      byteLength: f32.byteLength([experts]),
      kind: "scale",
      source: tensor,
    });
  }
  return planned;
}

/** bitnet.cpp's tl1 and tl2 say `<name>_scale`; everything else `<base>.scale`. */
function scaleName(name: string, format: string): string {
  return /^tl[12]$/.test(format) ? `${name}_scale` : name.replace(/\.weight$/, ".scale");
}

function notTernary(model: Model, count: number, format: string): WrinkleFreeError {
  return new WrinkleFreeError(
    "unsupported",
    `${model.path}: ${count} linears hold dense weights, which ${format} cannot keep`,
    {
      file: model.path,
      hint:
        "Keep them with -q f16, or add --naive to round them to -1, 0 and 1: a model that was not " +
        "trained for it then answers nonsense.",
    },
  );
}

function refusal(model: Model, format: string, refused: readonly string[]): WrinkleFreeError {
  const more = refused.length > 1 ? ` (and ${refused.length - 1} more tensors)` : "";
  return new WrinkleFreeError(
    "unsupported",
    `${model.path} does not fit ${format}: ${refused[0]}${more}`,
    {
      file: model.path,
      flag: "-q",
      hint: "iq2_bn needs rows of 64n weights; f16 takes any shape.",
      extra: { refused },
    },
  );
}
