// BitNet b1.58 (arXiv 2504.12285): sub-norms before o and down, squared ReLU; SiLU in its older models.
import type { Architecture } from "../../core/index.ts";
import { recordTransformer } from "./block.ts";
import { transformerMetadata } from "./metadata.ts";
import { mapName } from "./names.ts";

/** microsoft/bitnet-b1.58-2B-4T and its mixtures of experts. */
export const bitnet158: Architecture = {
  names: ["bitnet-b1.58", "bitnet-25"],
  activation: "relu2",
  record: (recorder) => recordTransformer(recorder, { activation: "relu2", rope: "half" }),
  huggingFace: {
    names: ["BitNetForCausalLM", "BitNetMoeForCausalLM", "BitNetLlama", "bitnet", "bitnet_moe"],
    tensor: mapName,
    metadata: (config) => transformerMetadata("bitnet-b1.58", config),
  },
};

/** 1bitLLM/bitnet_b1_58-*: inner_attn_ln and ffn_layernorm for sub-norms, SiLU. */
export const bitnet: Architecture = {
  names: ["bitnet"],
  activation: "silu",
  record: (recorder) => recordTransformer(recorder, { activation: "silu", rope: "half" }),
  huggingFace: {
    names: ["BitnetForCausalLM"],
    tensor: mapName,
    metadata: (config) => transformerMetadata("bitnet", config),
  },
};
