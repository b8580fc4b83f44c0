// Facts about an open model: size, shape, formats, tokenizer; and statistics of its ternary weights.
import type { MetadataValue } from "../../core/index.ts";
import type { Model, ModelTensor } from "../../core/model.ts";
import { KvType, pagePositions } from "../../core/native/abi.ts";
import { kvLayerBytes } from "../../core/native/kv.ts";

/** Tokens of context that serve takes unless told otherwise. */
const servedContext = 4096;

export interface FormatUse {
  readonly format: string;
  readonly tensors: number;
  readonly weights: number;
  readonly bytes: number;
}

export interface Summary {
  readonly path: string;
  readonly kind: string;
  readonly name?: string;
  readonly architecture: string;
  readonly parameters: number;
  readonly ternaryParameters: number;
  readonly layers: number;
  readonly hidden: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly experts?: { readonly count: number; readonly used: number };
  readonly tiedEmbedding: boolean;
  readonly tokenizer: string;
  readonly chatTemplate: boolean;
  readonly endTokens: readonly number[];
  readonly formats: readonly FormatUse[];
  readonly memory: MemoryNeed;
}

/** Bytes that running takes, beside some tens of MiB of activations. */
export interface MemoryNeed {
  /** Tokens that the keys and values are for. */
  readonly contextLength: number;
  /** Ternary weights at 2 bits, everything else as it is stored. */
  readonly weights: number;
  /** Of one full context, in f16 and in q8_0. */
  readonly keyValue: number;
  readonly keyValue8: number;
}

/** `contextLength`: tokens that memory is told for; default what serve takes. */
export function summarize(model: Model, contextLength?: number): Summary {
  const { hyperparameters: h, metadata } = model;
  const tensors = [...model.tensors.values()];
  const count = (some: readonly ModelTensor[]): number =>
    some.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const name = metadata["general.name"];
  return {
    path: model.path,
    kind: model.file.kind,
    name: typeof name === "string" ? name : undefined,
    architecture: h.architecture,
    parameters: count(tensors),
    ternaryParameters: count(tensors.filter((tensor) => tensor.ternary)),
    layers: h.layers,
    hidden: h.hidden,
    feedForward: h.feedForward,
    heads: h.heads,
    kvHeads: h.kvHeads,
    headDim: h.headDim,
    vocabulary: h.vocabulary,
    contextLength: h.contextLength,
    experts: h.experts > 0 ? { count: h.experts, used: h.expertsUsed } : undefined,
    tiedEmbedding: h.tiedEmbedding,
    tokenizer: tokenizerName(model, metadata),
    chatTemplate: model.chatTemplate !== undefined,
    endTokens: model.endTokens,
    formats: formatUse(tensors),
    memory: memoryNeed(model, contextLength ?? Math.min(h.contextLength, servedContext)),
  };
}

function memoryNeed(model: Model, contextLength: number): MemoryNeed {
  const { layers, kvHeads, headDim } = model.hyperparameters;
  const pages = Math.ceil(contextLength / pagePositions);
  const keyValue = (type: number): number =>
    pages * layers * kvLayerBytes(kvHeads, headDim, type, type);
  const weights = [...model.tensors.values()].reduce((sum, { ternary, shape, parts }) => {
    const count = shape.reduce((a, b) => a * b, 1);
    return sum + (ternary ? count / 4 : parts.reduce((own, part) => own + part.byteLength, 0));
  }, 0);
  return {
    contextLength,
    weights,
    keyValue: keyValue(KvType.f16),
    keyValue8: keyValue(KvType.i8),
  };
}

function tokenizerName(model: Model, metadata: Readonly<Record<string, MetadataValue>>): string {
  const source = model.tokenizer;
  if (source === undefined) return "none";
  if (source.kind === "hf") {
    const json = source.tokenizer as { readonly model?: { readonly type?: string } };
    return `tokenizer.json (${json.model?.type ?? "unknown"})`;
  }
  const pre = metadata["tokenizer.ggml.pre"];
  return `${metadata["tokenizer.ggml.model"]}${pre === undefined ? "" : `, ${pre}`}`;
}

function formatUse(tensors: readonly ModelTensor[]): FormatUse[] {
  const uses = new Map<string, FormatUse>();
  for (const tensor of tensors) {
    const use = uses.get(tensor.format) ?? {
      format: tensor.format,
      tensors: 0,
      weights: 0,
      bytes: 0,
    };
    uses.set(tensor.format, {
      format: tensor.format,
      tensors: use.tensors + 1,
      weights: use.weights + tensor.shape.reduce((a, b) => a * b, 1),
      bytes: use.bytes + tensor.parts.reduce((sum, part) => sum + part.byteLength, 0),
    });
  }
  return [...uses.values()].sort((a, b) => b.bytes - a.bytes);
}

export interface TernaryStatistics {
  /** Share of weights that are 0. */
  readonly zeros: number;
  readonly scales: number;
  readonly smallestScale: number;
  readonly largestScale: number;
}

/** Statistics of a ternary tensor, over all its experts. */
export function ternaryStatistics(model: Model, tensor: ModelTensor): TernaryStatistics {
  let [zeros, weights, scales] = [0, 0, 0];
  let [smallest, largest] = [Infinity, 0];
  for (const part of tensor.parts.keys()) {
    const ternary = model.ternary(tensor.name, part);
    for (const trit of ternary.trits) if (trit === 0) zeros++;
    weights += ternary.trits.length;
    scales += ternary.scales.length;
    for (const scale of ternary.scales) {
      smallest = Math.min(smallest, scale);
      largest = Math.max(largest, scale);
    }
  }
  return { zeros: zeros / weights, scales, smallestScale: smallest, largestScale: largest };
}
