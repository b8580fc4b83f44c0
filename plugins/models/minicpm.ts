// MiniCPM (BitCPM): Llama with a scaled embedding, scaled residual branches and scaled logits.
import type { Architecture, MetadataValue } from "../../core/index.ts";
import { ownNumber, recordTransformer } from "./block.ts";
import { type Config, optional, required, transformerMetadata } from "./metadata.ts";
import { mapName } from "./names.ts";

/** scale_emb, scale_depth / sqrt(layers) and dim_model_base / hidden, as llama.cpp names them. */
function metadata(config: Config): Record<string, MetadataValue> {
  const layers = required(config, "num_hidden_layers");
  const base = optional(config, "dim_model_base");
  return {
    ...transformerMetadata("minicpm", config),
    "minicpm.rope.kind": "half",
    "minicpm.embedding_scale": optional(config, "scale_emb") ?? 1,
    "minicpm.residual_scale":
      (optional(config, "scale_depth") ?? Math.sqrt(layers)) / Math.sqrt(layers),
    "minicpm.logit_scale": base === undefined ? 1 : required(config, "hidden_size") / base,
  };
}

export const minicpm: Architecture = {
  names: ["minicpm"],
  activation: "silu",
  record(recorder) {
    const { model } = recorder;
    const logitDivisor = ownNumber(model, "logit_scale");
    recordTransformer(recorder, {
      activation: "silu",
      rope: "interleaved",
      embeddingScale: ownNumber(model, "embedding_scale"),
      residualScale: ownNumber(model, "residual_scale"),
      logitScale: logitDivisor === undefined ? undefined : 1 / logitDivisor,
    });
  },
  huggingFace: { names: ["MiniCPMForCausalLM", "minicpm"], tensor: mapName, metadata },
};
