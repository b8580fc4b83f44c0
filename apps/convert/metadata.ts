// The key-value pairs of a GGUF output: the source's, the tokenizer's, and what describes this file.
import { basename } from "node:path";
import type { MetadataValue } from "../../core/index.ts";
import type { Model } from "../../core/model.ts";
import { type OwnFormat, ownFormatsKey } from "../../plugins/standard.ts";
import type { ConvertOptions } from "./options.ts";
import type { PlannedTensor } from "./plan.ts";
import type { Reorder } from "./source.ts";
import { tokenizerMetadata } from "./tokenizer-metadata.ts";

type Values = Record<string, MetadataValue>;

/** `general.file_type` of files whose linears are in a format (llama.cpp's, bitnet.cpp's, ik's). */
const fileTypes: Readonly<Record<string, number>> = {
  f32: 0,
  f16: 1,
  q4_0: 2,
  q4_1: 3,
  q8_0: 7,
  q6_k: 18,
  bf16: 32,
  tq1_0: 36,
  tq2_0: 37,
  tl1: 38,
  tl2: 39,
  i2_s: 40,
  q2_0: 41,
  iq1_bn: 136,
  iq2_bn: 137,
};

/** Keys that describe how a source file was stored, which this one is not. */
const stale = /^(general\.(file_type|alignment|quantization_version)|wrinklefree\.|split\.)/;

export function outputMetadata(
  model: Model,
  planned: readonly PlannedTensor[],
  format: string,
  reorder: Reorder,
  options: ConvertOptions,
): Values {
  const architecture = model.hyperparameters.architecture;
  const values: Values = { "general.architecture": architecture };
  const given = options.name ?? model.metadata["general.name"];
  values["general.name"] = given ?? nameOf(model.path);
  for (const [key, value] of Object.entries(model.metadata)) {
    if (key in values || stale.test(key)) continue;
    values[key] = value;
  }
  if (reorder !== undefined) delete values[`${architecture}.rope.kind`];
  for (const length of ["short", "long"]) {
    const held = planned.some((tensor) => tensor.name === `rope_factors_${length}.weight`);
    if (held) delete values[`${architecture}.rope.scaling.${length}_factor`];
  }
  if (planned.some((tensor) => tensor.name === "rope_freqs.weight"))
    dropScaling(values, architecture);
  if (!(`${architecture}.vocab_size` in values)) {
    values[`${architecture}.vocab_size`] = model.hyperparameters.vocabulary;
  }
  Object.assign(values, tokenizerMetadata(model.file, model.hyperparameters.vocabulary));
  values["general.quantization_version"] = 2;
  const fileType = fileTypes[format];
  if (fileType !== undefined) values["general.file_type"] = fileType;
  if (format === "i2_s") values["wrinklefree.i2_s.layout"] = "x86-128";
  Object.assign(values, tileKeys(planned), ownFormatKey(planned));
  return values;
}

function nameOf(path: string): string {
  return basename(path.replace(/\/+$/, "")).replace(/\.(gguf|safetensors|pt|bin|pth)$/, "");
}

/** llama.cpp reads llama3's scaling from rope_freqs.weight and knows no scaling of that name. */
function dropScaling(values: Values, architecture: string): void {
  for (const key of Object.keys(values)) {
    if (key.startsWith(`${architecture}.rope.scaling.`)) delete values[key];
  }
}

function tileKeys(planned: readonly PlannedTensor[]): Values {
  const values: Values = {};
  for (const { name, shape, quantizer, kind } of planned) {
    if (kind !== "ternary" || !quantizer.parameters) continue;
    for (const [part, value] of Object.entries(quantizer.parameters(shape))) {
      values[`wrinklefree.${quantizer.format}.${name}.${part}`] = value;
    }
  }
  return values;
}

/** Formats without a ggml type are stored as bytes; this key says what they are. */
function ownFormatKey(planned: readonly PlannedTensor[]): Values {
  const own: Record<string, OwnFormat> = {};
  for (const { name, shape, quantizer } of planned) {
    if (quantizer.ggufType !== undefined) continue;
    own[name] = { format: quantizer.format, shape, parameters: quantizer.parameters?.(shape) };
  }
  return Object.keys(own).length > 0 ? { [ownFormatsKey]: JSON.stringify(own) } : {};
}
