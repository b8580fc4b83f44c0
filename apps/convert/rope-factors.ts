// Tensors that GGUF wants and checkpoints state as numbers in config.json: RoPE frequency factors.
import type { Registry } from "../../core/index.ts";
import type { Model } from "../../core/model.ts";
import { llama3Factor } from "../../plugins/standard.ts";
import type { PlannedTensor } from "./plan.ts";

/** rope_freqs.weight for llama3's scaling, rope_factors_{long,short}.weight for longrope. */
export function computedTensors(model: Model, registry: Registry): PlannedTensor[] {
  const { architecture, ropeDimensions, ropeTheta } = model.hyperparameters;
  const value = (name: string): unknown => model.metadata[`${architecture}.rope.scaling.${name}`];
  const pairs = ropeDimensions / 2;
  const quantizer = registry.quantizer("f32");
  const tensor = (name: string, values: Float32Array): PlannedTensor[] => {
    if (model.has(name)) return [];
    const shape = [values.length];
    return [{ name, shape, quantizer, byteLength: values.byteLength, kind: "computed", values }];
  };
  if (value("type") === "llama3") {
    const [factor, original] = [Number(value("factor")), Number(value("original_context_length"))];
    const bounds = {
      low: Number(value("low_freq_factor")),
      high: Number(value("high_freq_factor")),
    };
    const factors = Float32Array.from({ length: pairs }, (_, i) =>
      llama3Factor(ropeTheta ** (-i / pairs), factor, original, bounds),
    );
    return tensor("rope_freqs.weight", factors);
  }
  if (value("type") === "longrope") {
    return ["long", "short"].flatMap((which) =>
      tensor(`rope_factors_${which}.weight`, value(`${which}_factor`) as Float32Array),
    );
  }
  return [];
}
