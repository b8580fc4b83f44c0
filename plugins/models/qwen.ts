// Qwen2 (biases on q, k, v) and Qwen3 (a norm on each head of q and k): Ternary-Bonsai, BitDistill.
import type { Architecture } from "../../core/index.ts";
import { recordTransformer } from "./block.ts";
import { transformerMetadata } from "./metadata.ts";
import { mapName } from "./names.ts";

function qwen(name: string, huggingFace: readonly string[]): Architecture {
  return {
    names: [name],
    activation: "silu",
    record: (recorder) => recordTransformer(recorder, { activation: "silu", rope: "half" }),
    huggingFace: {
      names: huggingFace,
      tensor: mapName,
      metadata: (config) => transformerMetadata(name, config),
    },
  };
}

export const qwen2: Architecture = qwen("qwen2", ["Qwen2ForCausalLM", "qwen2"]);
export const qwen3: Architecture = qwen("qwen3", ["Qwen3ForCausalLM", "qwen3"]);
export const qwen3Moe: Architecture = qwen("qwen3moe", ["Qwen3MoeForCausalLM", "qwen3_moe"]);
