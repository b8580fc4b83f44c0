// Synthetic models of real shapes: random ternary weights in memory, for measuring speed only.
import type { MetadataValue, ModelFile, TensorInfo } from "../../core/index.ts";
import { addressOf, WrinkleFreeError } from "../../core/index.ts";

/** Sizes of a model, from its config.json. */
export interface Shape {
  readonly architecture: "bitnet-b1.58" | "llama";
  readonly layers: number;
  readonly hidden: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  readonly tied: boolean;
}

export const shapes: Readonly<Record<string, Shape>> = {
  "bitnet-2b-4t": {
    architecture: "bitnet-b1.58",
    layers: 30,
    hidden: 2560,
    feedForward: 6912,
    heads: 20,
    kvHeads: 5,
    headDim: 128,
    vocabulary: 128256,
    tied: true,
  },
  "falcon3-1b": {
    architecture: "llama",
    layers: 18,
    hidden: 2048,
    feedForward: 8192,
    heads: 8,
    kvHeads: 4,
    headDim: 256,
    vocabulary: 131072,
    tied: false,
  },
  "falcon3-7b": {
    architecture: "llama",
    layers: 28,
    hidden: 3072,
    feedForward: 23040,
    heads: 12,
    kvHeads: 4,
    headDim: 256,
    vocabulary: 131072,
    tied: false,
  },
  "llama3-8b": {
    architecture: "llama",
    layers: 32,
    hidden: 4096,
    feedForward: 14336,
    heads: 32,
    kvHeads: 8,
    headDim: 128,
    vocabulary: 128256,
    tied: false,
  },
  small: {
    architecture: "bitnet-b1.58",
    layers: 4,
    hidden: 512,
    feedForward: 1536,
    heads: 8,
    kvHeads: 2,
    headDim: 64,
    vocabulary: 4096,
    tied: true,
  },
};

/** Weights of the ternary linears of a shape, without the head. */
export function ternaryWeights(shape: Shape): number {
  const { hidden, heads, kvHeads, headDim, feedForward, layers } = shape;
  const attention = hidden * headDim * (2 * heads + 2 * kvHeads);
  return layers * (attention + 3 * hidden * feedForward);
}

/** Bytes of a repeated random pattern: large tensors repeat it, which no kernel can notice. */
const patternBytes = 1 << 22;

/** A GGUF-like file in memory: ternary linears in i2_s, embedding and output in f16, norms in f32. */
export function syntheticFile(name: string, contextLength: number): ModelFile {
  const shape = shapes[name];
  if (!shape) {
    throw new WrinkleFreeError("usage", `no shape ${name}`, {
      flag: "--shape",
      hint: `There are ${Object.keys(shapes).join(", ")}.`,
    });
  }
  const tensors = new Map<string, TensorInfo>();
  const views = new Map<string, Uint8Array>();
  const add = (
    tensor: string,
    dims: readonly number[],
    format: string,
    bytes: Uint8Array,
  ): void => {
    views.set(tensor, bytes);
    const info = { name: tensor, shape: dims, format, byteLength: bytes.byteLength };
    tensors.set(tensor, { ...info, address: addressOf(bytes) });
  };
  for (const [tensor, rows, columns] of linearsOf(shape)) {
    add(tensor, [rows, columns], "i2_s", ternaryBytes(rows * columns));
  }
  for (const [tensor, columns] of normsOf(shape)) {
    add(tensor, [columns], "f32", new Uint8Array(new Float32Array(columns).fill(1).buffer));
  }
  const embedding = [shape.vocabulary, shape.hidden] as const;
  add("token_embd.weight", embedding, "f16", halfBytes(embedding[0] * embedding[1]));
  if (!shape.tied) add("output.weight", embedding, "f16", halfBytes(embedding[0] * embedding[1]));
  return {
    path: name,
    kind: "gguf",
    metadata: metadataOf(name, shape, contextLength),
    tensors,
    bytes: (tensor) => views.get(tensor)!,
    [Symbol.dispose]: () => views.clear(),
  };
}

function linearsOf(shape: Shape): [string, number, number][] {
  const { hidden, feedForward, heads, kvHeads, headDim } = shape;
  return Array.from({ length: shape.layers }, (_, i): [string, number, number][] => [
    [`blk.${i}.attn_q.weight`, heads * headDim, hidden],
    [`blk.${i}.attn_k.weight`, kvHeads * headDim, hidden],
    [`blk.${i}.attn_v.weight`, kvHeads * headDim, hidden],
    [`blk.${i}.attn_output.weight`, hidden, heads * headDim],
    [`blk.${i}.ffn_gate.weight`, feedForward, hidden],
    [`blk.${i}.ffn_up.weight`, feedForward, hidden],
    [`blk.${i}.ffn_down.weight`, hidden, feedForward],
  ]).flat();
}

function normsOf(shape: Shape): [string, number][] {
  const { hidden, feedForward, heads, headDim, architecture } = shape;
  const layers = Array.from({ length: shape.layers }, (_, i): [string, number][] => [
    [`blk.${i}.attn_norm.weight`, hidden],
    [`blk.${i}.ffn_norm.weight`, hidden],
    ...(architecture === "bitnet-b1.58"
      ? ([
          [`blk.${i}.attn_sub_norm.weight`, heads * headDim],
          [`blk.${i}.ffn_sub_norm.weight`, feedForward],
        ] as [string, number][])
      : []),
  ]);
  return [...layers.flat(), ["output_norm.weight", hidden]];
}

function metadataOf(
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
    [`${key}.attention.layer_norm_rms_epsilon`]: 1e-5,
    [`${key}.rope.freq_base`]: 500000,
    [`${key}.context_length`]: contextLength,
  };
}

/** i2_s bytes (four codes 0..2 each), a scale of 0.01 and the padding. */
function ternaryBytes(weights: number): Uint8Array {
  const bytes = new Uint8Array(weights / 4 + 32);
  repeat(bytes.subarray(0, weights / 4), ternaryPattern());
  new DataView(bytes.buffer).setFloat32(weights / 4, 0.01, true);
  return bytes;
}

function halfBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count * 2);
  repeat(bytes, halfPattern());
  return bytes;
}

function repeat(target: Uint8Array, pattern: Uint8Array): void {
  for (let at = 0; at < target.length; at += pattern.length) {
    target.set(pattern.subarray(0, Math.min(pattern.length, target.length - at)), at);
  }
}

let ternaryCache: Uint8Array | undefined;
function ternaryPattern(): Uint8Array {
  if (ternaryCache) return ternaryCache;
  ternaryCache = new Uint8Array(patternBytes + 1);
  let state = 1;
  for (let i = 0; i < ternaryCache.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const trits = Math.floor((state >>> 8) % 81);
    ternaryCache[i] =
      (trits % 3) |
      ((Math.floor(trits / 3) % 3) << 2) |
      ((Math.floor(trits / 9) % 3) << 4) |
      (Math.floor(trits / 27) << 6);
  }
  return ternaryCache;
}

let halfCache: Uint8Array | undefined;
/** f16 values of magnitude 2^-6..2^-3, random sign and mantissa. */
function halfPattern(): Uint8Array {
  if (halfCache) return halfCache;
  const values = new Uint16Array(patternBytes / 2 + 1);
  let state = 7;
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const exponent = 9 + ((state >>> 10) & 3);
    values[i] = ((state >>> 31) << 15) | (exponent << 10) | ((state >>> 12) & 1023);
  }
  halfCache = new Uint8Array(values.buffer);
  return halfCache;
}
