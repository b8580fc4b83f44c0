// Sizes of real models, and of mixtures of their width: what `bench --shape` measures.
import { WrinkleFreeError } from "../../core/index.ts";

/** Sizes of a model, from its config.json. */
export interface Shape {
  readonly architecture: "bitnet-b1.58" | "llama";
  readonly layers: number;
  readonly hidden: number;
  /** Of the network, or of one expert. */
  readonly feedForward: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  readonly tied: boolean;
  /** Of a mixture: experts in each layer, and how many of them a token goes to. */
  readonly experts?: number;
  readonly expertsUsed?: number;
}

const bitnet2b: Shape = {
  architecture: "bitnet-b1.58",
  layers: 30,
  hidden: 2560,
  feedForward: 6912,
  heads: 20,
  kvHeads: 5,
  headDim: 128,
  vocabulary: 128256,
  tied: true,
};

/** Four layers and a small vocabulary: the experts are what a step spends its time on. */
const mixture: Shape = { ...bitnet2b, layers: 4, vocabulary: 2048 };

export const shapes: Readonly<Record<string, Shape>> = {
  "bitnet-2b-4t": bitnet2b,
  /** The same sizes in a graph without sub-norms, which other engines run as well. */
  "llama-2b": { ...bitnet2b, architecture: "llama" },
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
  "moe-8x2": { ...mixture, experts: 8, expertsUsed: 2 },
  "moe-64x6": { ...mixture, feedForward: 1792, experts: 64, expertsUsed: 6 },
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
  "moe-small": {
    architecture: "bitnet-b1.58",
    layers: 2,
    hidden: 256,
    feedForward: 256,
    heads: 4,
    kvHeads: 2,
    headDim: 64,
    vocabulary: 1024,
    tied: true,
    experts: 8,
    expertsUsed: 2,
  },
};

/** Throws `usage` naming the flag for an unknown name. */
export function shapeOf(name: string): Shape {
  const shape = shapes[name];
  if (shape) return shape;
  throw new WrinkleFreeError("usage", `no shape ${name}`, {
    flag: "--shape",
    hint: `There are ${Object.keys(shapes).join(", ")}.`,
  });
}
