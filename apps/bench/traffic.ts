// What a step must read and multiply at least: the bound that a measured speed is compared with.
import type { Runtime } from "../../core/index.ts";
import type { ModelTensor } from "../../core/model.ts";
import { pagePositions } from "../../core/native/abi.ts";
import type { Host } from "../../core/native/host.ts";
import { kvLayerBytes } from "../../core/native/kv.ts";
import type { NativeEntry } from "../../core/native/library.ts";

/** Bytes read once, and int8 multiply-adds. */
export interface Traffic {
  readonly bytes: number;
  readonly macs: number;
}

interface Weights {
  bytes: number;
  /** Weights that every token is multiplied with. */
  weights: number;
}

/**
 * Traffic of steps on a runtime. Bytes: the packed ternary body, float linears as they are stored,
 * the head (its coarse plane where it is screened), cached keys and values. Multiply-adds: those of
 * the ternary body. Activations, norms and the products of attention are not counted.
 */
export class TrafficModel {
  readonly #host: Pick<Host, "packedBytes">;
  readonly #runtime: Runtime;
  readonly #mapped: boolean;
  readonly #mappedExperts: boolean;
  readonly #dense: Weights = { bytes: 0, weights: 0 };
  /** Of one expert in one layer. */
  readonly #expert: Weights = { bytes: 0, weights: 0 };
  readonly #head: { full: number; screened: number };
  readonly #positionBytes: number;

  /**
   * `mmap`: ternary weights run from the file where a kernel can; `expertsResident`: so do experts, if
   * there are more than these (packed ones are counted as if they did).
   */
  constructor(
    runtime: Runtime,
    host: Pick<Host, "packedBytes">,
    options: { readonly mmap?: boolean; readonly expertsResident?: number } = {},
  ) {
    this.#mapped = options.mmap ?? false;
    this.#runtime = runtime;
    this.#host = host;
    const { model } = runtime;
    const { layers, kvHeads, headDim, experts, tiedEmbedding } = model.hyperparameters;
    const layout = runtime.kernels.ternaryLayout(runtime.info.layout);
    this.#mappedExperts = this.#mapped || (options.expertsResident ?? experts) < experts;
    for (const tensor of model.tensors.values()) {
      if (/^(token_embd|output)\./.test(tensor.name) || tensor.shape.length < 2) continue;
      if (/norm/.test(tensor.name)) continue;
      const stacked = tensor.shape.length === 3;
      const share = stacked ? 1 / (experts * layers) : 1;
      const into = stacked ? this.#expert : this.#dense;
      into.bytes += share * this.#bytesOf(tensor, layout);
      if (tensor.ternary) into.weights += share * product(tensor.shape);
    }
    const head = model.tensor(tiedEmbedding ? "token_embd.weight" : "output.weight");
    const [n = 0, k = 0] = head.shape;
    const full = this.#bytesOf(head, layout);
    const plane = runtime.kernels.find("head_columns", "f16");
    const screened = plane ? host.packedBytes(plane, n, k) : full;
    this.#head = { full, screened };
    const { kvTypeK, kvTypeV } = runtime.tape.limits;
    this.#positionBytes =
      (layers * kvLayerBytes(kvHeads, headDim, kvTypeK, kvTypeV)) / pagePositions;
  }

  /** Bytes of the linears that every token passes, the head aside. */
  get bodyBytes(): number {
    return this.#dense.bytes;
  }

  /** One decode step of `batch` sequences; `experts`: distinct ones used, all layers together. */
  decode(batch: number, depth: number, experts = 0): Traffic {
    const head = this.#runtime.topLimit > 0 ? this.#head.screened : this.#head.full;
    const body = this.#dense.bytes + experts * this.#expert.bytes + head;
    return { bytes: body + batch * depth * this.#positionBytes, macs: this.#macs(batch) };
  }

  /** Reading a prompt, in as many steps as its length needs. */
  prefill(tokens: number): Traffic {
    const { experts, layers } = this.#runtime.model.hyperparameters;
    const steps = Math.ceil(tokens / this.#runtime.tape.limits.maxRows);
    const body = this.#dense.bytes + experts * layers * this.#expert.bytes;
    return { bytes: steps * body + this.#head.full, macs: this.#macs(tokens) };
  }

  #macs(tokens: number): number {
    const { expertsUsed, layers } = this.#runtime.model.hyperparameters;
    return tokens * (this.#dense.weights + expertsUsed * layers * this.#expert.weights);
  }

  #bytesOf(tensor: ModelTensor, layout: NativeEntry): number {
    const mapped = tensor.shape.length === 3 ? this.#mappedExperts : this.#mapped;
    const raw = mapped && this.#runtime.kernels.find("linear", tensor.format)?.pack === 0;
    if (!tensor.ternary || raw) {
      return tensor.parts.reduce((sum, part) => sum + part.byteLength, 0);
    }
    const [rows = 0, columns = 0] = tensor.shape.slice(-2);
    const matrices = product(tensor.shape) / (rows * columns);
    return matrices * this.#host.packedBytes(layout, rows, columns);
  }
}

function product(values: readonly number[]): number {
  return values.reduce((all, value) => all * value, 1);
}
