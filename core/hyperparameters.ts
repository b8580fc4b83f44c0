// Reads a model's hyperparameters from GGUF metadata and checks that they make sense together.
import { WrinkleFreeError } from "./errors.ts";
import type { Gate, Hyperparameters } from "./plugin/architecture.ts";
import type { MetadataValue } from "./plugin/loader.ts";

type ShapeOf = (tensor: string) => readonly number[] | undefined;

/** Upper bounds that no known model comes near: larger values are damage, not models. */
const limits = {
  block_count: 1024,
  embedding_length: 1 << 17,
  feed_forward_length: 1 << 20,
  "attention.head_count": 1 << 12,
  context_length: 1 << 24,
  expert_count: 4096,
} as const;

/**
 * Hyperparameters of `{arch}.*` keys (GGUF's document, gguf.md). Throws `bad_file` naming the key.
 */
export function readHyperparameters(
  path: string,
  metadata: Readonly<Record<string, MetadataValue>>,
  shapeOf: ShapeOf,
  activation: Gate,
): Hyperparameters {
  const architecture = String(metadata["general.architecture"]);
  const fail = (key: string, text: string): never => {
    throw new WrinkleFreeError("bad_file", `${path}: ${architecture}.${key} ${text}`, {
      file: path,
      field: `${architecture}.${key}`,
      hint: "The metadata is damaged or incomplete; convert the model again.",
    });
  };
  const number = (key: string, fallback?: number): number => {
    const value = metadata[`${architecture}.${key}`];
    if (value === undefined && fallback !== undefined) return fallback;
    const plain =
      typeof value === "bigint" ? Number(value) : Array.isArray(value) ? value[0] : value;
    if (typeof plain !== "number" || !Number.isFinite(plain))
      return fail(key, "is missing or not a number");
    return plain;
  };
  const count = (key: string, fallback?: number): number => {
    const value = number(key, fallback);
    const limit = (limits as Record<string, number>)[key] ?? 1 << 24;
    if (!Number.isInteger(value) || value < 0 || value > limit)
      fail(key, `is ${value}, not in 0..${limit}`);
    return value;
  };
  const positive = (key: string, fallback?: number): number => {
    const value = count(key, fallback);
    if (value === 0) fail(key, "is 0");
    return value;
  };
  const hidden = positive("embedding_length");
  const heads = positive("attention.head_count");
  const kvHeads = positive("attention.head_count_kv", heads);
  const headDim = positive("attention.key_length", Math.floor(hidden / heads));
  if (heads % kvHeads !== 0)
    fail("attention.head_count_kv", `is ${kvHeads}, no divisor of ${heads}`);
  const embedding = shapeOf("token_embd.weight");
  const vocabulary = embedding?.[0] ?? 0;
  if (embedding?.length !== 2 || embedding[1] !== hidden) {
    fail("embedding_length", `is ${hidden}, but token_embd.weight has shape [${embedding ?? ""}]`);
  }
  const normEpsilon = number("attention.layer_norm_rms_epsilon", 1e-5);
  const experts = count("expert_count", 0);
  const expertsUsed = count("expert_used_count", 0);
  if (expertsUsed > experts) {
    fail("expert_used_count", `is ${expertsUsed}, more than expert_count ${experts}`);
  }
  if (experts > 0 && expertsUsed === 0) fail("expert_used_count", "is 0 in a mixture of experts");
  const feedForward = positive("feed_forward_length");
  const ropeDimensions = positive("rope.dimension_count", headDim);
  if (ropeDimensions > headDim || ropeDimensions % 2 !== 0) {
    fail("rope.dimension_count", `is ${ropeDimensions}, not an even number up to ${headDim}`);
  }
  return {
    architecture,
    layers: positive("block_count"),
    hidden,
    feedForward,
    heads,
    kvHeads,
    headDim,
    vocabulary,
    contextLength: positive("context_length", 2048),
    normEpsilon,
    subNormEpsilon: number("attention.sub_norm_rms_epsilon", normEpsilon),
    ropeTheta: number("rope.freq_base", 10000),
    ropeDimensions,
    activation,
    tiedEmbedding: shapeOf("output.weight") === undefined,
    experts,
    expertsUsed,
    expertFeedForward: positive("expert_feed_forward_length", feedForward),
  };
}
