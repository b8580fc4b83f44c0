// Tensor names of decoder-only Hugging Face checkpoints, and of WrinkleFree's own, in GGUF's words.

export interface Target {
  readonly name: string;
  readonly expert?: number;
}

/** Part of a layer (module path without the layer) to GGUF's name of it. */
const modules: Readonly<Record<string, string>> = {
  input_layernorm: "attn_norm",
  post_attention_layernorm: "ffn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "self_attn.attn_sub_norm": "attn_sub_norm",
  "self_attn.inner_attn_ln": "attn_sub_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
  "mlp.ffn_sub_norm": "ffn_sub_norm",
  "mlp.ffn_layernorm": "ffn_sub_norm",
  // Models that WrinkleFree converts in place: Sequential(sub-norm, linear).
  "self_attn.o_proj.0": "attn_sub_norm",
  "self_attn.o_proj.1": "attn_output",
  "mlp.down_proj.0": "ffn_sub_norm",
  "mlp.down_proj.1": "ffn_down",
  // WrinkleFree's own model class.
  "self_attn.subln": "attn_sub_norm",
  "mlp.subln": "ffn_sub_norm",
  // Mixtures of experts: Qwen-MoE's, Mixtral's and WrinkleFree's routers.
  "mlp.gate": "ffn_gate_inp",
  "block_sparse_moe.gate": "ffn_gate_inp",
  "mlp.router.gate": "ffn_gate_inp",
  "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
  "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
  "mlp.shared_expert.up_proj": "ffn_up_shexp",
  "mlp.shared_expert.down_proj": "ffn_down_shexp",
};

/** A norm before each quantizer of a linear (`use_rms_norm`): `<linear>.rms_norm` or `<linear>.norm`. */
const inputNorms = ["rms_norm", "norm"];

/** Part of an expert to GGUF's stacked tensor. */
const experts: Readonly<Record<string, string>> = {
  gate_proj: "ffn_gate_exps",
  up_proj: "ffn_up_exps",
  down_proj: "ffn_down_exps",
  w1: "ffn_gate_exps",
  w2: "ffn_down_exps",
  w3: "ffn_up_exps",
  ffn_sub_norm: "ffn_sub_norm_exps",
  subln: "ffn_sub_norm_exps",
  "down_proj.0": "ffn_sub_norm_exps",
  "down_proj.1": "ffn_down_exps",
};

const outside: Readonly<Record<string, string>> = {
  "embed_tokens.weight": "token_embd.weight",
  "norm.weight": "output_norm.weight",
  "lm_head.weight": "output.weight",
  "lm_head.weight_scale": "output.scale",
};

/** Suffix of a tensor to GGUF's. */
const suffixes: Readonly<Record<string, string>> = {
  weight: "weight",
  qweight: "weight",
  bias: "bias",
  weight_scale: "scale",
};

/** Prefixes that wrappers (torch.compile, DataParallel, model classes) put before every name. */
const wrappers = /^(_orig_mod\.|module\.|base_model\.|_fsdp_wrapped_module\.)+/;

/** GGUF name of a checkpoint's tensor; undefined for one that no model uses (rotary tables...). */
export function mapName(stored: string): Target | undefined {
  const name = stored
    .replace(wrappers, "")
    .replaceAll("._orig_mod.", ".")
    .replace(/^(model|transformer)\./, "");
  const alone = own(outside, name);
  if (alone) return { name: alone };
  const layer = /^layers\.(\d+)\.(.+)\.(\w+)$/.exec(name);
  const suffix = own(suffixes, layer?.[3] ?? "");
  if (!layer || !suffix) return undefined;
  const [, number, path] = layer as unknown as [string, string, string];
  return mapModule(`blk.${Number(number)}`, path, suffix);
}

function mapModule(block: string, path: string, suffix: string): Target | undefined {
  const expert = /^(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(.+)$/.exec(path);
  if (expert) {
    const part = own(experts, expert[2] ?? "");
    return part ? { name: `${block}.${part}.${suffix}`, expert: Number(expert[1]) } : undefined;
  }
  const known = own(modules, path);
  if (known) return { name: `${block}.${known}.${suffix}` };
  for (const norm of inputNorms) {
    const linear = path.endsWith(`.${norm}`)
      ? own(modules, path.slice(0, -norm.length - 1))
      : undefined;
    if (linear) return { name: `${block}.${linear}_norm_in.${suffix}` };
  }
  return undefined;
}

/** A name of a file may be "constructor", which every object has. */
function own(table: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
