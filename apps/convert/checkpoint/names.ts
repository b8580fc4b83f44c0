// Checkpoint names of GGUF tensors: what transformers calls them.

/** GGUF part of a layer to the module's path in it. */
const modules: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  ffn_norm: "post_attention_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  attn_sub_norm: "self_attn.attn_sub_norm",
  ffn_sub_norm: "mlp.ffn_sub_norm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
  ffn_gate_inp: "mlp.gate",
};

/** Stacks whose experts a checkpoint keeps apart. */
const experts: Readonly<Record<string, string>> = {
  ffn_gate_exps: "gate_proj",
  ffn_up_exps: "up_proj",
  ffn_down_exps: "down_proj",
  ffn_sub_norm_exps: "ffn_sub_norm",
};

const outside: Readonly<Record<string, string>> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
};

/** Name of a tensor (of one expert of a stack); undefined for what a checkpoint does not hold. */
export function checkpointName(name: string, expert: number): string | undefined {
  if (outside[name]) return outside[name];
  const [, layer, part = "", suffix] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  if (layer === undefined) return undefined;
  const prefix = `model.layers.${layer}`;
  const stack = experts[part];
  if (stack) return `${prefix}.mlp.experts.${expert}.${stack}.${suffix}`;
  const linear = part.endsWith("_norm_in") ? modules[part.slice(0, -"_norm_in".length)] : undefined;
  if (linear) return `${prefix}.${linear}.rms_norm.${suffix}`;
  const module = modules[part];
  return module && `${prefix}.${module}.${suffix}`;
}
