// Reads a model's tensors for conversion: whole stacks of experts, q and k in the order of the output.

import { WrinkleFreeError } from "../../core/index.ts";
import type { Model, ModelTensor } from "../../core/model.ts";
import { ternarize } from "../../core/ternary.ts";
import { permuteHeads } from "./permute.ts";
import { pseudoTernary } from "./pseudo-ternary.ts";
import { expand, type GroupedTrits } from "./regroup.ts";

/** How q and k rows are reordered on the way; undefined = as they are. */
export type Reorder = "interleaved" | "half" | undefined;

/** Formats in which each row is encoded for itself. */
export const rowFormats: ReadonlySet<string> = new Set([
  "f32",
  "f16",
  "bf16",
  "q8_0",
  "q6_k",
  "q4_0",
  "q4_1",
]);

/** Weights of one piece. */
const pieceWeights = 1 << 22;

export class Source {
  readonly model: Model;
  readonly reorder: Reorder;
  readonly #naive: boolean;

  /** `naive`: dense weights may be rounded to ternary ones. */
  constructor(model: Model, reorder: Reorder, naive = false) {
    this.model = model;
    this.reorder = reorder;
    this.#naive = naive;
  }

  /** Exact trits and scales; float masters are ternarized by absmean, each expert for itself. */
  trits(tensor: ModelTensor): GroupedTrits {
    const parts = tensor.parts.map((_, part) => this.#part(tensor, part));
    const first = parts[0] as GroupedTrits;
    if (parts.length === 1) return first;
    const trits = new Int8Array(count(tensor.shape));
    const scales = new Float32Array(first.scales.length * parts.length);
    for (const [index, part] of parts.entries()) {
      trits.set(part.trits, index * first.trits.length);
      scales.set(part.scales, index * first.scales.length);
    }
    return { trits, scales, size: first.size };
  }

  /** float32 values, of all experts of a stack; of masters, the ternary ones that the model runs on. */
  floats(tensor: ModelTensor): Float32Array {
    if (tensor.masters) return expand(this.trits(tensor));
    if (tensor.parts.length === 1) {
      return this.#ordered(tensor, this.model.floats(tensor.name), tensor.shape);
    }
    const values = new Float32Array(count(tensor.shape));
    const size = values.length / tensor.parts.length;
    tensor.parts.forEach((_, part) => {
      values.set(this.model.floats(tensor.name, part), part * size);
    });
    return values;
  }

  /** A float tensor's bytes where the output takes its values as they are; else undefined. */
  asStored(tensor: ModelTensor): Uint8Array | undefined {
    const single = tensor.parts.length === 1 && !tensor.masters && !this.#moves(tensor);
    return single && !tensor.quantizer.ternary ? this.model.data(tensor.name).bytes : undefined;
  }

  /** `floats` in pieces of whole rows, so that an embedding need not be in memory at once. */
  *floatPieces(tensor: ModelTensor): Generator<Float32Array> {
    const [rows = 1, columns = 1] = tensor.shape;
    const { quantizer } = tensor;
    const rowsApart = rowFormats.has(tensor.format) && tensor.parts.length === 1;
    const step = Math.max(1, Math.floor(pieceWeights / columns));
    const whole =
      tensor.shape.length !== 2 || rows <= step || this.#moves(tensor) || tensor.masters;
    if (whole || !rowsApart) {
      yield this.floats(tensor);
      return;
    }
    const { bytes } = this.model.data(tensor.name);
    const rowBytes = quantizer.byteLength([1, columns]);
    for (let row = 0; row < rows; row += step) {
      const shape = [Math.min(step, rows - row), columns];
      const piece = bytes.subarray(row * rowBytes, (row + (shape[0] as number)) * rowBytes);
      yield quantizer.decode({ bytes: piece }, shape);
    }
  }

  #part(tensor: ModelTensor, part: number): GroupedTrits {
    const shape = tensor.parts.length > 1 ? tensor.shape.slice(1) : tensor.shape;
    if (tensor.quantizer.ternary === undefined) return this.#masters(tensor, part, shape);
    const { trits, scales } = this.model.ternary(tensor.name, part);
    this.#checkScales(tensor, trits, scales);
    const size = trits.length / scales.length;
    const ordered = this.#ordered(tensor, trits, shape);
    const columns = shape[shape.length - 1] ?? 1;
    const perRow = size <= columns ? columns / size : 0;
    const orderedScales =
      perRow > 0 ? this.#ordered(tensor, scales, [scales.length / perRow, perRow]) : scales;
    return { trits: ordered, scales: orderedScales, size };
  }

  /** A scale must be finite, and 0 only where all its weights are. */
  #checkScales(tensor: ModelTensor, trits: Int8Array, scales: Float32Array): void {
    const { path } = this.model;
    const fail = (text: string): never => {
      throw new WrinkleFreeError("bad_file", `${path}: ${tensor.name}: ${text}`, {
        file: path,
        tensor: tensor.name,
        hint: "The file is damaged: download or convert it again.",
      });
    };
    const apart = tensor.quantizer.ternary?.separateScale && tensor.scale === undefined;
    if (apart) fail("its weight_scale is missing");
    const size = trits.length / scales.length;
    for (const [group, scale] of scales.entries()) {
      if (!Number.isFinite(scale) || scale < 0) fail(`scale ${group} is ${scale}`);
      if (scale > 0) continue;
      const zeros = trits.subarray(group * size, (group + 1) * size).every((trit) => trit === 0);
      if (!zeros) fail(`scale ${group} is 0 for weights that are not`);
    }
  }

  /** Ternarizes float values, each matrix of a stack for itself. */
  #masters(tensor: ModelTensor, part: number, shape: readonly number[]): GroupedTrits {
    if (tensor.masters && shape.length === 2) {
      const { trits, scales } = this.model.absmean(tensor.name, part);
      this.#checkFinite(tensor, scales);
      return { trits: this.#ordered(tensor, trits, shape), scales, size: trits.length };
    }
    const values = this.#ordered(tensor, this.model.floats(tensor.name, part), shape);
    const exact = tensor.masters ? undefined : pseudoTernary(values, shape);
    if (exact) return exact;
    if (!tensor.masters && !this.#naive) throw this.#dense(tensor.name);
    const matrices = shape.length > 2 ? (shape[0] ?? 1) : 1;
    const size = values.length / matrices;
    const trits = new Int8Array(values.length);
    const scales = new Float32Array(matrices);
    for (let i = 0; i < matrices; i++) {
      const own = ternarize(values.subarray(i * size, (i + 1) * size), shape);
      scales[i] = own.scales[0] as number;
      trits.set(own.trits, i * size);
    }
    this.#checkFinite(tensor, scales);
    return { trits, scales, size };
  }

  #checkFinite(tensor: ModelTensor, scales: Float32Array): void {
    if (scales.every(Number.isFinite)) return;
    const { path } = this.model;
    throw new WrinkleFreeError("bad_file", `${path}: ${tensor.name} holds NaN or infinity`, {
      file: path,
      tensor: tensor.name,
      hint: "The checkpoint is damaged, or training diverged.",
    });
  }

  #moves(tensor: ModelTensor): boolean {
    return this.reorder !== undefined && /\.attn_[qk]\.(weight|bias)$/.test(tensor.name);
  }

  #dense(name: string): WrinkleFreeError {
    const { path } = this.model;
    return new WrinkleFreeError("unsupported", `${path}: ${name} holds dense weights`, {
      file: path,
      tensor: name,
      hint: "Keep them with -q f16, or round them with --naive.",
    });
  }

  #ordered<T extends Int8Array | Float32Array>(
    tensor: ModelTensor,
    values: T,
    shape: readonly number[],
  ): T {
    if (!this.#moves(tensor) || this.reorder === undefined) return values;
    const { headDim } = this.model.hyperparameters;
    const columns = shape.length > 1 ? (shape[shape.length - 1] ?? 1) : 1;
    return permuteHeads(values, { rows: values.length / columns, columns, headDim }, this.reorder);
  }
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
