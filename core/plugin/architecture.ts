// The Architecture interface: one model family; records its forward step once, at load.
import type { MetadataValue } from "./loader.ts";
import type { RouterShape } from "./routing.ts";

/** Opaque handle of an activation [rows, columns] that an op of the tape writes. */
export interface Value {
  readonly id: number;
  readonly columns: number;
}

/** What an Architecture records from; sizes are checked when the model is opened. */
export interface Hyperparameters {
  readonly architecture: string;
  readonly layers: number;
  readonly hidden: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly normEpsilon: number;
  /** eps of the sub-norms where it differs from normEpsilon. */
  readonly subNormEpsilon: number;
  readonly ropeTheta: number;
  readonly ropeDimensions: number;
  readonly activation: "relu2" | "silu" | "gelu";
  readonly tiedEmbedding: boolean;
  readonly experts: number;
  readonly expertsUsed: number;
  readonly expertFeedForward: number;
}

/** The model as an Architecture sees it while recording. Tensor names are GGUF's. */
export interface ModelView {
  readonly hyperparameters: Hyperparameters;
  readonly metadata: Readonly<Record<string, MetadataValue>>;
  has(tensor: string): boolean;
  /** Shape of a tensor, outermost dimension first. Throws `not_found` naming it. */
  shape(tensor: string): readonly number[];
  /** Decoded values of a small tensor, row-major. Throws `not_found` naming it. */
  floats(tensor: string): Float32Array;
}

/** How `chooseExperts` scores: softmax or sigmoid of the logits, or not at all. */
export type RouteName = "softmax" | "sigmoid" | "fixed";

export type Gate = "relu2" | "silu" | "gelu";

/**
 * The verbs of the tape. Weights are named by their GGUF tensor name; every verb checks shapes and
 * throws `bad_file` with the tensor's name when they do not fit.
 */
export interface Recorder {
  readonly model: ModelView;
  /** Positions that a sequence may have in this run; at most what the cache was made for. */
  readonly contextLength: number;
  /** Token ids of the step to rows of the embedding, times `scale`. */
  embed(weight: string, options?: { scale?: number }): Value;
  /** RMSNorm over the last dimension (or each head's, with `heads`), in float32. */
  norm(input: Value, weight: string, options?: { epsilon?: number; heads?: number }): Value;
  /** y = x W^T (+ bias) (+ add). Several weights share one pass and give one Value each. */
  linear(input: Value, weights: string, options?: { add?: Value; scale?: number }): Value;
  linear(input: Value, weights: readonly string[]): Value[];
  /** activation(x Wgate^T) * (x Wup^T) in one pass. */
  gated(input: Value, gate: string, up: string, activation: Gate): Value;
  /**
   * Rotates q and k by position; "half" pairs (i, i + d/2), "interleaved" pairs (2i, 2i + 1). Base
   * frequencies are divided by `factors` (a tensor's name, or d/2 values); cos and sin times `scale`.
   */
  rope(
    q: Value,
    k: Value,
    options: {
      kind: "half" | "interleaved";
      factors?: string | Float32Array;
      scale?: number;
    },
  ): void;
  /** Stores k and v in the layer's pages and attends causally. */
  attend(q: Value, k: Value, v: Value, options: { layer: number; scale?: number }): Value;
  add(a: Value, b: Value, options?: { scale?: number }): Value;
  multiply(a: Value, b: Value): Value;
  /** Each row of `input` times the sigmoid of its row of `gate` [rows, 1]. */
  gateRows(input: Value, gate: Value): Value;
  map(input: Value, activation: Gate | "softcap", options?: { parameter?: number }): Value;
  /** Router by plugin name on [rows, experts] logits. */
  route(logits: Value, router: string, shape: RouterShape): Value;
  /** The native op that chooses experts: for routers' `record`. */
  chooseExperts(logits: Value, kind: RouteName, shape: RouterShape): Value;
  /** Gated experts, weighted and summed over a token's experts. */
  experts(
    input: Value,
    routing: Value,
    weights: { gate: string; up: string; down: string; subNorm?: string },
    options: { activation: Gate; epsilon?: number; add?: Value },
  ): Value;
  /** The rows whose logits the step wants, through the output weight. Records the end of the tape. */
  logits(input: Value, weight: string, options?: { scale?: number }): void;
}

/** How a Hugging Face checkpoint of the family maps to GGUF names and metadata. */
export interface HuggingFaceMapping {
  /** `architectures[0]` or `model_type` values of config.json. */
  readonly names: readonly string[];
  /**
   * GGUF tensor name for a checkpoint's tensor name (with `expert` where the checkpoint keeps an
   * expert's matrix apart); undefined = the tensor is not used.
   */
  tensor(
    name: string,
    config: Readonly<Record<string, unknown>>,
  ): { readonly name: string; readonly expert?: number } | undefined;
  /** GGUF metadata (general.architecture, {arch}.block_count ...) from config.json. */
  metadata(config: Readonly<Record<string, unknown>>): Record<string, MetadataValue>;
}

export interface Architecture {
  /** `general.architecture` values of GGUF files. */
  readonly names: readonly string[];
  /** What the family defines rather than the file: its activation, rope kind. */
  readonly activation: Gate;
  record(recorder: Recorder): void;
  readonly huggingFace?: HuggingFaceMapping;
}
