// Llama and what is built like it: Falcon-E, Falcon3, Llama3-8B-1.58, TriLM, SmolLM2, Mixtral.
import type { Architecture, MetadataValue } from "../../core/index.ts";
import { recordTransformer } from "./block.ts";
import { type Config, transformerMetadata } from "./metadata.ts";
import { mapName } from "./names.ts";

/** Checkpoints rotate halves; GGUF files hold q and k permuted, so that pairs are adjacent. */
function metadata(config: Config): Record<string, MetadataValue> {
  return { ...transformerMetadata("llama", config), "llama.rope.kind": "half" };
}

export const llama: Architecture = {
  names: ["llama", "falcon-e"],
  activation: "silu",
  record: (recorder) => recordTransformer(recorder, { activation: "silu", rope: "interleaved" }),
  huggingFace: {
    names: [
      "LlamaForCausalLM",
      "MistralForCausalLM",
      "MixtralForCausalLM",
      "llama",
      "mistral",
      "mixtral",
    ],
    tensor: mapName,
    metadata,
  },
};
