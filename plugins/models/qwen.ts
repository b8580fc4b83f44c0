// Qwen2 (biases on q, k, v), Qwen3 (a norm on each head of q and k), and their mixtures of experts.
import type { Architecture } from "../../core/index.ts";
import { type Family, recordTransformer } from "./block.ts";
import { transformerMetadata } from "./metadata.ts";
import { mapName } from "./names.ts";

function qwen(
  name: string,
  huggingFace: readonly string[],
  own: Partial<Family> = {},
): Architecture {
  return {
    names: [name],
    activation: "silu",
    record: (recorder) => recordTransformer(recorder, { activation: "silu", rope: "half", ...own }),
    huggingFace: {
      names: huggingFace,
      tensor: mapName,
      metadata: (config) => transformerMetadata(name, config),
    },
  };
}

export const qwen2: Architecture = qwen("qwen2", ["Qwen2ForCausalLM", "qwen2"]);
export const qwen3: Architecture = qwen("qwen3", ["Qwen3ForCausalLM", "Qwen3Model", "qwen3"]);
/** With a shared expert behind a gate of its own; routing weights are left as they are. */
export const qwen2Moe: Architecture = qwen("qwen2moe", ["Qwen2MoeForCausalLM", "qwen2_moe"], {
  normalizeExperts: false,
});
export const qwen3Moe: Architecture = qwen("qwen3moe", ["Qwen3MoeForCausalLM", "qwen3_moe"]);
