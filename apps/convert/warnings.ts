// What about a source deserves a person's attention before it is converted.
import { WrinkleFreeError } from "../../core/index.ts";
import type { Model } from "../../core/model.ts";
import type { ConvertOptions } from "./options.ts";

/** Scales of real models: factors lie near or below 1, inverse factors between tens and hundreds. */
const plausibleFactor = 8;

/** One line each; none for a sound checkpoint. */
export function sourceWarnings(model: Model, options: ConvertOptions): string[] {
  const warnings: string[] = [];
  if (options.naive) {
    warnings.push(
      "--naive rounds weights that were not trained to be ternary: expect nonsense from the model",
    );
  }
  const implausible = implausibleScale(model);
  if (implausible) warnings.push(implausible);
  if (model.tokenizer === undefined) {
    warnings.push("no tokenizer beside the tensors: the output takes token ids only");
  }
  return warnings;
}

/**
 * Throws `unsupported` for a checkpoint that was saved during quantization warm-up: at lambda below 1
 * it ran on a mix of ternary and float weights. `naive` rounds it all the same.
 */
export function refuseWarmup(model: Model, options: ConvertOptions): void {
  const lambda = model.file.config?.quantization_lambda;
  if (typeof lambda !== "number" || lambda >= 1 || options.naive) return;
  throw new WrinkleFreeError(
    "unsupported",
    `${model.path} was saved during quantization warm-up (lambda ${lambda}): its weights are not those ` +
      "of a ternary model yet",
    {
      file: model.path,
      field: "lambda",
      hint: "Convert a checkpoint from after the warm-up, or add --naive to round this one.",
    },
  );
}

/** A weight_scale read in the wrong direction gives factors of tens to hundreds. */
function implausibleScale(model: Model): string | undefined {
  let largest = 0;
  for (const tensor of model.tensors.values()) {
    if (!tensor.ternary || !tensor.scale) continue;
    for (const scale of tensor.scale) largest = Math.max(largest, scale);
  }
  if (model.file.kind === "gguf" || largest <= plausibleFactor) return undefined;
  return (
    `weight scales up to ${largest.toFixed(1)} are implausible: the checkpoint may state their ` +
    "inverse (try --weight-scale direct or inverse)"
  );
}
