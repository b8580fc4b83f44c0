// The JSON files of a written checkpoint: config, generation config, tokenizer.

import type { MetadataValue } from "../../../core/index.ts";
import type { Model } from "../../../core/model.ts";
import { preTokenizers } from "../../../core/text/pre-tokenizers.ts";

type Json = Record<string, unknown>;

const modelTypes: Readonly<Record<string, readonly [className: string, type: string]>> = {
  "bitnet-b1.58": ["BitNetForCausalLM", "bitnet"],
  "bitnet-25": ["BitNetForCausalLM", "bitnet"],
  bitnet: ["BitnetForCausalLM", "llama"],
  llama: ["LlamaForCausalLM", "llama"],
  qwen2: ["Qwen2ForCausalLM", "qwen2"],
  qwen3: ["Qwen3ForCausalLM", "qwen3"],
};

/** Packed weights whose weight_scale is the factor itself. */
const quantization = {
  quant_method: "bitnet",
  linear_class: "autobitlinear",
  quantization_mode: "offline",
} as const;

/** Whether transformers has a class for the model's architecture. */
export function hasCheckpointForm({ hyperparameters }: Model): boolean {
  return hyperparameters.architecture in modelTypes;
}

/** config.json: the source's own where it is a checkpoint, else made from GGUF's keys. */
export function checkpointConfig(model: Model): Json {
  const { config } = model.file;
  const { quantization_config: old, ...rest } = (config ?? ggufConfig(model)) as Json;
  const norms = (old as Json | undefined)?.use_rms_norm === true || hasInputNorms(model);
  const eps = model.hyperparameters.subNormEpsilon;
  const rms = norms ? { use_rms_norm: true, rms_norm_eps: eps } : {};
  return { ...rest, quantization_config: { ...quantization, ...rms } };
}

function hasInputNorms(model: Model): boolean {
  return [...model.tensors.keys()].some((name) => name.includes("_norm_in."));
}

function ggufConfig(model: Model): Json {
  const { hyperparameters: h, metadata } = model;
  const [className, type] = modelTypes[h.architecture] ?? ["LlamaForCausalLM", "llama"];
  const token = (name: string): MetadataValue | undefined =>
    metadata[`tokenizer.ggml.${name}_token_id`];
  const mixture = h.experts > 0;
  return {
    architectures: [mixture && type === "bitnet" ? "BitNetMoeForCausalLM" : className],
    model_type: mixture && type === "bitnet" ? "bitnet_moe" : type,
    vocab_size: h.vocabulary,
    hidden_size: h.hidden,
    intermediate_size: h.feedForward,
    num_hidden_layers: h.layers,
    num_attention_heads: h.heads,
    num_key_value_heads: h.kvHeads,
    head_dim: h.headDim,
    hidden_act: metadata[`${h.architecture}.activation`] ?? h.activation,
    rms_norm_eps: Number(h.normEpsilon.toPrecision(6)),
    ...(h.subNormEpsilon === h.normEpsilon
      ? {}
      : { sub_norm_eps: Number(h.subNormEpsilon.toPrecision(6)) }),
    rope_theta: h.ropeTheta,
    max_position_embeddings: h.contextLength,
    tie_word_embeddings: h.tiedEmbedding,
    ...(mixture
      ? {
          num_experts: h.experts,
          num_experts_per_tok: h.expertsUsed,
          norm_topk_prob: metadata[`${h.architecture}.expert_weights_norm`] !== false,
        }
      : {}),
    bos_token_id: token("bos") ?? null,
    eos_token_id: token("eos") ?? null,
    pad_token_id: token("padding") ?? null,
  };
}

/** tokenizer.json, tokenizer_config.json and generation_config.json by name. */
export function companionFiles(model: Model): ReadonlyMap<string, Json> {
  const files = new Map<string, Json>();
  const generation = model.file.generationConfig;
  const ends = model.endTokens;
  if (generation) files.set("generation_config.json", { ...generation });
  else if (ends.length > 0) files.set("generation_config.json", { eos_token_id: [...ends] });
  const source = model.tokenizer;
  if (source?.kind === "hf") {
    files.set("tokenizer.json", source.tokenizer as Json);
    const config = { ...source.config };
    if (model.chatTemplate !== undefined) config.chat_template = model.chatTemplate;
    files.set("tokenizer_config.json", config);
  } else if (source && source.metadata["tokenizer.ggml.model"] === "gpt2") {
    files.set("tokenizer.json", byteLevelTokenizer(source.metadata));
    files.set("tokenizer_config.json", tokenizerConfig(model, source.metadata));
  }
  return files;
}

type Metadata = Readonly<Record<string, MetadataValue>>;

/** The tokenizer.json of a byte-level BPE vocabulary. */
function byteLevelTokenizer(metadata: Metadata): Json {
  const tokens = metadata["tokenizer.ggml.tokens"] as readonly string[];
  const types = metadata["tokenizer.ggml.token_type"] as ArrayLike<number> | undefined;
  const isAdded = (id: number): boolean => types?.[id] === 3 || types?.[id] === 4;
  const pre = preTokenizers[String(metadata["tokenizer.ggml.pre"] ?? "default")];
  const splits = (pre?.patterns ?? []).map((pattern) => ({
    type: "Split",
    pattern: { Regex: pattern },
    behavior: "Isolated",
    invert: false,
  }));
  const bos = metadata["tokenizer.ggml.bos_token_id"] as number | undefined;
  const bosText = bos === undefined ? undefined : tokens[bos];
  const byteLevel = {
    type: "ByteLevel",
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: false,
  };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [...tokens.keys()].filter(isAdded).map((id) => ({
      id,
      content: tokens[id],
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: types?.[id] === 3,
    })),
    normalizer: pre?.nfc ? { type: "NFC" } : null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [...splits, byteLevel] },
    post_processor:
      metadata["tokenizer.ggml.add_bos_token"] === true && bosText !== undefined
        ? startsWith(bosText, bos as number)
        : byteLevel,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre?.ignoreMerges ?? false,
      vocab: Object.fromEntries(
        tokens.map((token, id) => [token, id] as const).filter(([, id]) => !isAdded(id)),
      ),
      merges: metadata["tokenizer.ggml.merges"],
    },
  };
}

function startsWith(token: string, id: number): Json {
  const special = (type_id: number): Json => ({ SpecialToken: { id: token, type_id } });
  const sequence = (name: string, type_id: number): Json => ({ Sequence: { id: name, type_id } });
  return {
    type: "TemplateProcessing",
    single: [special(0), sequence("A", 0)],
    pair: [special(0), sequence("A", 0), special(1), sequence("B", 1)],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

function tokenizerConfig(model: Model, metadata: Metadata): Json {
  const tokens = metadata["tokenizer.ggml.tokens"] as readonly string[];
  const text = (name: string): string | undefined => {
    const id = metadata[`tokenizer.ggml.${name}_token_id`];
    return typeof id === "number" ? tokens[id] : undefined;
  };
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: text("bos"),
    eos_token: text("eos"),
    pad_token: text("padding"),
    chat_template: model.chatTemplate,
    model_max_length: model.hyperparameters.contextLength,
  };
}
