// What about a source deserves a person's attention before it is converted.
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
  const lambda = model.file.config?.quantization_lambda;
  if (typeof lambda === "number" && lambda < 1) {
    warnings.push(
      `the checkpoint was saved during quantization warm-up (lambda ${lambda}): its weights are not ` +
        "those of a ternary model yet",
    );
  }
  if (model.tokenizer === undefined) {
    warnings.push("no tokenizer beside the tensors: the output takes token ids only");
  }
  return warnings;
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
