// Tells by its tensors how a checkpoint was made, where its config.json does not say.

type Config = Readonly<Record<string, unknown>>;

/** What a BitNet checkpoint of masters says of itself: ternarized by absmean when it is loaded. */
const online = {
  quant_method: "bitnet",
  linear_class: "autobitlinear",
  quantization_mode: "online",
} as const;

/** eps of sub-norms that WrinkleFree's training adds, whatever rms_norm_eps is. */
const addedSubNormEpsilon = 1e-6;

/** Sequential(sub-norm, linear): a model that WrinkleFree converted in place. */
const inPlace = /\.(o_proj|down_proj)\.[01]\.weight$/;
/** A norm before the quantizer of each linear, as Microsoft's embedding models have. */
const inputNorm = /_proj\.norm\.weight$/;
/** WrinkleFree's own model class. */
const bitnetLlama = /(^|\.)layers\.\d+\.(self_attn|mlp)\.subln\.weight$/;

/**
 * `config` with what the tensors' names add to it: masters of models that were trained ternary but do
 * not say so, eps of added sub-norms, RoPE on neighbours in WrinkleFree's own class.
 */
export function describeCheckpoint(config: Config, tensors: Iterable<string>): Config {
  let added: Record<string, unknown> = {};
  let packed = false;
  for (const name of tensors) {
    if (name.endsWith(".weight_scale")) packed = true;
    if (inPlace.test(name) || inputNorm.test(name)) added = { sub_norm_eps: addedSubNormEpsilon };
    if (bitnetLlama.test(name)) {
      added = {
        sub_norm_eps: addedSubNormEpsilon,
        rms_norm_eps: addedSubNormEpsilon,
        hidden_act: "relu2",
        rope_kind: "interleaved",
      };
      config = { ...config, architectures: ["BitNetLlama"] };
    }
  }
  const classes = Array.isArray(config.architectures) ? config.architectures : [];
  const trained = Object.keys(added).length > 0 || classes.includes("BitnetForCausalLM");
  const masters = trained && !packed && !config.quantization_config;
  return { ...added, ...config, ...(masters ? { quantization_config: online } : {}) };
}
