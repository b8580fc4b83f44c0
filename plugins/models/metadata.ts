// GGUF metadata of decoder-only transformers from config.json's usual fields.
import { type MetadataValue, WrinkleFreeError } from "../../core/index.ts";

export type Config = Readonly<Record<string, unknown>>;

/** A positive number of config.json; the first name that is there. Throws `bad_file` without any. */
export function required(config: Config, ...names: readonly string[]): number {
  const value = optional(config, ...names);
  if (value !== undefined) return value;
  throw new WrinkleFreeError("bad_file", `config.json: ${names.join(" or ")} is missing`, {
    file: "config.json",
    field: names[0],
    hint: "Use the config.json that belongs to the checkpoint.",
  });
}

/** A number of config.json, undefined where it is absent or null. Throws `bad_file` for anything else. */
export function optional(config: Config, ...names: readonly string[]): number | undefined {
  for (const name of names) {
    const value = config[name];
    if (value === undefined || value === null) continue;
    if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
    throw new WrinkleFreeError("bad_file", `config.json: ${name} is ${JSON.stringify(value)}`, {
      file: "config.json",
      field: name,
    });
  }
  return undefined;
}

/** Keys of the family `architecture`; sub-norms' eps only where it differs (see `subNormEpsilon`). */
export function transformerMetadata(
  architecture: string,
  config: Config,
): Record<string, MetadataValue> {
  const hidden = required(config, "hidden_size", "n_embd");
  const heads = required(config, "num_attention_heads", "n_head");
  const headDim = optional(config, "head_dim") ?? Math.floor(hidden / heads);
  const metadata: Record<string, MetadataValue> = { "general.architecture": architecture };
  const set = (key: string, value: MetadataValue | undefined): void => {
    if (value !== undefined) metadata[`${architecture}.${key}`] = value;
  };
  set("context_length", optional(config, "max_position_embeddings", "n_positions") ?? 2048);
  set("embedding_length", hidden);
  set("block_count", required(config, "num_hidden_layers", "n_layer"));
  set("feed_forward_length", required(config, "intermediate_size"));
  set("attention.head_count", heads);
  set("attention.head_count_kv", optional(config, "num_key_value_heads") ?? heads);
  if (headDim * heads !== hidden) {
    set("attention.key_length", headDim);
    set("attention.value_length", headDim);
  }
  set("attention.layer_norm_rms_epsilon", optional(config, "rms_norm_eps") ?? 1e-6);
  set("attention.sub_norm_rms_epsilon", subNormEpsilon(config));
  set("rope.dimension_count", headDim);
  set("rope.freq_base", ropeTheta(config));
  set("vocab_size", optional(config, "vocab_size"));
  set("activation", activationName(config));
  set("pooling_type", optional(config, "pooling_type"));
  // WrinkleFree's own model class; see core/checkpoint/family.ts.
  if (typeof config.rope_kind === "string") set("rope.kind", config.rope_kind);
  const experts = optional(config, "num_experts", "num_local_experts");
  if (experts) {
    set("expert_count", experts);
    set("expert_used_count", optional(config, "num_experts_per_tok", "top_k") ?? 1);
    set("expert_feed_forward_length", optional(config, "moe_intermediate_size"));
    set("expert_weights_norm", config.norm_topk_prob !== false);
  }
  Object.assign(metadata, ropeScaling(architecture, config));
  return metadata;
}

/** hidden_act as the engine names it; undefined where the config has none. */
function activationName(config: Config): string | undefined {
  const name = config.hidden_act ?? config.hidden_activation;
  if (name === undefined || name === null) return undefined;
  const known: Record<string, string> = {
    silu: "silu",
    swish: "silu",
    relu2: "relu2",
    relu_squared: "relu2",
    gelu: "gelu",
    gelu_pytorch_tanh: "gelu",
  };
  const own = known[String(name)];
  if (own) return own;
  throw new WrinkleFreeError("unsupported", `config.json: hidden_act "${name}" is not known`, {
    file: "config.json",
    field: "hidden_act",
  });
}

/**
 * eps of the sub-norms where a config states it. Models converted in place by WrinkleFree leave it at
 * 1e-6 whatever rms_norm_eps is; `convert` sets the field for them.
 */
function subNormEpsilon(config: Config): number | undefined {
  const own = optional(config, "sub_norm_eps");
  if (own !== undefined) return own;
  const quantization = (config.quantization_config ?? {}) as Config;
  return quantization.use_rms_norm === true
    ? (optional(quantization, "rms_norm_eps") ?? 1e-6)
    : undefined;
}

function ropeTheta(config: Config): number {
  const nested = config.rope_parameters as Config | null | undefined;
  return (
    optional(config, "rope_theta") ?? (nested ? optional(nested, "rope_theta") : undefined) ?? 10000
  );
}

function ropeScaling(architecture: string, config: Config): Record<string, MetadataValue> {
  const scaling = (config.rope_scaling ?? config.rope_parameters) as Config | null | undefined;
  if (typeof scaling !== "object" || scaling === null) return {};
  const type = String(scaling.rope_type ?? scaling.type ?? "default");
  const key = (name: string): string => `${architecture}.rope.scaling.${name}`;
  const original = optional(scaling, "original_max_position_embeddings");
  const common: Record<string, MetadataValue> = { [key("type")]: type };
  const factor = optional(scaling, "factor");
  if (factor !== undefined) common[key("factor")] = factor;
  if (original !== undefined) common[key("original_context_length")] = original;
  switch (type) {
    case "default":
      return {};
    case "linear":
    case "yarn":
      return common;
    case "llama3":
      // GGUF carries llama3's scaling as the tensor rope_freqs.weight, and these for whoever recomputes it.
      return {
        ...common,
        [key("low_freq_factor")]: required(scaling, "low_freq_factor"),
        [key("high_freq_factor")]: required(scaling, "high_freq_factor"),
      };
    case "longrope":
      return {
        ...common,
        [key("short_factor")]: new Float32Array(scaling.short_factor as number[]),
        [key("long_factor")]: new Float32Array(scaling.long_factor as number[]),
      };
    default:
      throw new WrinkleFreeError(
        "unsupported",
        `config.json: rope scaling "${type}" is not known`,
        {
          file: "config.json",
          field: "rope_scaling",
        },
      );
  }
}
