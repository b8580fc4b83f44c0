// Decides what each tensor of the output is: its format, size and place; refuses what cannot be.
import { nearest, type Quantizer, type Registry, WrinkleFreeError } from "../../core/index.ts";
import type { Model, ModelTensor } from "../../core/model.ts";
import type { ConvertOptions } from "./options.ts";

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
  let dense = 0;
  for (const tensor of model.tensors.values()) {
    const quantizer = formatOf(tensor, target, registry, options);
    if (quantizer === undefined) {
      dense++;
      continue;
    }
    try {
      planned.push(...describe(tensor, quantizer, registry));
    } catch (error) {
      if (!(error instanceof WrinkleFreeError)) throw error;
      refused.push(`${tensor.name}: ${error.message}`);
    }
  }
  if (dense > 0) throw notTernary(model, dense, target.format);
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

/** Format of one tensor; undefined = a dense linear where ternary ones were asked for. */
function formatOf(
  tensor: ModelTensor,
  target: Quantizer,
  registry: Registry,
  options: ConvertOptions,
): Quantizer | undefined {
  if (tensor.name === "token_embd.weight") {
    return quantizerFor(registry, options.embedding ?? "f16", "--quant-embd");
  }
  if (tensor.name === "output.weight") {
    return quantizerFor(registry, options.head ?? "f16", "--quant-output");
  }
  if (!isLinear(tensor)) return registry.quantizer("f32");
  if (!target.ternary || tensor.ternary || options.naive) return target;
  // A dense linear of an otherwise ternary file (a mixed model) keeps its own format.
  const kept = tensor.quantizer.ggufType !== undefined && tensor.format !== "f32";
  return kept && mixedFormats.has(tensor.format) ? tensor.quantizer : undefined;
}

/** Block formats whose weights are dense on purpose; f16 and bf16 may hold ternary ones. */
const mixedFormats = new Set(["q8_0", "q6_k", "q4_0", "q4_1"]);

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
