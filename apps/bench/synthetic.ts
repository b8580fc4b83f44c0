// Synthetic models of a shape: metadata, tensors and random weights, in memory; for speed only.
import type { MetadataValue, ModelFile, TensorInfo } from "../../core/index.ts";
import { addressOf } from "../../core/index.ts";
import { type Format, patternBytes } from "./patterns.ts";
import { type Shape, shapeOf } from "./shapes.ts";

/** What the weights are stored as. */
export interface Storage {
  readonly ternary: "i2_s" | "tq2_0";
  readonly embedding: "f16" | "q6_k";
}

/** A tensor of a synthetic model, without its bytes. */
export interface SyntheticTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly format: Format;
  /** All elements, where they are not random. */
  readonly value?: number;
}

const defaultStorage: Storage = { ternary: "i2_s", embedding: "f16" };

/** Every tensor of a model of this shape, under its GGUF name. */
export function syntheticTensors(shape: Shape, storage = defaultStorage): SyntheticTensor[] {
  const embedding = [shape.vocabulary, shape.hidden];
  const float = (name: string): SyntheticTensor => ({
    name: `${name}.weight`,
    shape: embedding,
    format: storage.embedding,
  });
  return [
    float("token_embd"),
    ...(shape.tied ? [] : [float("output")]),
    norm("output_norm", [shape.hidden]),
    ...Array.from({ length: shape.layers }, (_, i) => layer(shape, storage, `blk.${i}`)).flat(),
  ];
}

function norm(name: string, shape: readonly number[]): SyntheticTensor {
  return { name: `${name}.weight`, shape, format: "f32", value: 1 };
}

function layer(shape: Shape, storage: Storage, block: string): SyntheticTensor[] {
  const { hidden, heads, kvHeads, headDim, architecture } = shape;
  const linear = (name: string, ...sizes: number[]): SyntheticTensor => ({
    name: `${block}.${name}.weight`,
    shape: sizes,
    format: storage.ternary,
  });
  return [
    norm(`${block}.attn_norm`, [hidden]),
    linear("attn_q", heads * headDim, hidden),
    linear("attn_k", kvHeads * headDim, hidden),
    linear("attn_v", kvHeads * headDim, hidden),
    ...(architecture === "bitnet-b1.58" ? [norm(`${block}.attn_sub_norm`, [heads * headDim])] : []),
    linear("attn_output", hidden, heads * headDim),
    norm(`${block}.ffn_norm`, [hidden]),
    ...feedForward(shape, block, linear),
  ];
}

function feedForward(
  shape: Shape,
  block: string,
  linear: (name: string, ...sizes: number[]) => SyntheticTensor,
): SyntheticTensor[] {
  const { hidden, feedForward: inner, experts, architecture } = shape;
  const subNorm = architecture === "bitnet-b1.58";
  if (!experts) {
    return [
      linear("ffn_gate", inner, hidden),
      linear("ffn_up", inner, hidden),
      ...(subNorm ? [norm(`${block}.ffn_sub_norm`, [inner])] : []),
      linear("ffn_down", hidden, inner),
    ];
  }
  const router: SyntheticTensor = {
    name: `${block}.ffn_gate_inp.weight`,
    shape: [experts, hidden],
    format: "f32",
  };
  const scales = ["gate", "up", "down"].map((part): SyntheticTensor => {
    return { name: `${block}.ffn_${part}_exps.scale`, shape: [experts], format: "f32", value: 1 };
  });
  return [
    router,
    linear("ffn_gate_exps", experts, inner, hidden),
    linear("ffn_up_exps", experts, inner, hidden),
    ...(subNorm ? [norm(`${block}.ffn_sub_norm_exps`, [experts, inner])] : []),
    linear("ffn_down_exps", experts, hidden, inner),
    ...scales,
  ];
}

export function syntheticMetadata(
  name: string,
  shape: Shape,
  contextLength: number,
): Record<string, MetadataValue> {
  const key = shape.architecture;
  return {
    "general.architecture": key,
    "general.name": `${name} (synthetic)`,
    [`${key}.block_count`]: shape.layers,
    [`${key}.embedding_length`]: shape.hidden,
    [`${key}.feed_forward_length`]: shape.feedForward,
    [`${key}.attention.head_count`]: shape.heads,
    [`${key}.attention.head_count_kv`]: shape.kvHeads,
    [`${key}.attention.key_length`]: shape.headDim,
    [`${key}.attention.value_length`]: shape.headDim,
    [`${key}.attention.layer_norm_rms_epsilon`]: 1e-5,
    [`${key}.rope.freq_base`]: 500000,
    [`${key}.rope.dimension_count`]: shape.headDim,
    [`${key}.vocab_size`]: shape.vocabulary,
    [`${key}.context_length`]: contextLength,
    ...(shape.experts && {
      [`${key}.expert_count`]: shape.experts,
      [`${key}.expert_used_count`]: shape.expertsUsed ?? 1,
      [`${key}.expert_feed_forward_length`]: shape.feedForward,
      [`${key}.expert_weights_norm`]: true,
    }),
  };
}

/**
 * A GGUF-like file in memory. Tensors of one format and size share their bytes: the engine packs
 * ternary ones into copies of their own, and of the others a step reads a few rows, or one tensor.
 * Throws `usage` for an unknown shape.
 */
export function syntheticFile(name: string, contextLength: number): ModelFile {
  const shape = shapeOf(name);
  const made = new Map<string, Uint8Array>();
  const views = new Map<string, Uint8Array>();
  const tensors = new Map<string, TensorInfo>();
  for (const tensor of syntheticTensors(shape)) {
    const count = elements(tensor);
    const key = `${tensor.format} ${count} ${tensor.value}`;
    const bytes = made.get(key) ?? patternBytes(tensor.format, count, tensor.value);
    made.set(key, bytes);
    views.set(tensor.name, bytes);
    tensors.set(tensor.name, {
      name: tensor.name,
      shape: tensor.shape,
      format: tensor.format,
      byteLength: bytes.byteLength,
      address: addressOf(bytes),
    });
  }
  return {
    path: name,
    kind: "gguf",
    metadata: syntheticMetadata(name, shape, contextLength),
    tensors,
    bytes: (tensor) => views.get(tensor)!,
    [Symbol.dispose]: () => views.clear(),
  };
}

export function elements(tensor: SyntheticTensor): number {
  return tensor.shape.reduce((product, size) => product * size, 1);
}
