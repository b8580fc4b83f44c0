// What packing a model's linears is asked for, and what it gives.
import type { NativeEntry } from "../native/library.ts";
import type { ResidentStack } from "./residents.ts";

/** One or several linears of equal K in one packed matrix. */
export interface PackedLinear {
  readonly entry: NativeEntry;
  readonly address: number;
  readonly bytes: number;
  /** f32 [n], or [n][k / group]. */
  readonly scale: number;
  /** f32 [n], 0 = none. */
  readonly bias: number;
  /** Packed rows, every part padded to a multiple of 16. */
  readonly n: number;
  readonly k: number;
  readonly group: number;
  /** Where each part's rows start in a stacked matrix, and how many it has. */
  readonly parts: readonly { readonly row: number; readonly rows: number }[];
}

/** The same linear of every expert: packed matrices one after another, of equal size. */
export interface PackedExperts extends PackedLinear {
  readonly experts: number;
  /** Bytes from one expert's weights, scales, biases to the next one's. */
  readonly weightStride: number;
  readonly scaleStride: number;
  readonly biasStride: number;
  /** Of experts on their stored rows: those that are packed all the same. */
  readonly residents?: ResidentStack;
}

export interface PackerOptions {
  /** Ternary layout; default: the best of the kernels. */
  readonly layout?: string;
  /** Run ternary linears on the mapped file where a kernel can, instead of packing them. */
  readonly mapped?: boolean;
  /** Experts of each layer that are packed; the others run on the mapped file. Default: all. */
  readonly expertsResident?: number;
  /** Told of the bytes of each tensor that is done. */
  readonly progress?: (bytes: number) => void;
}
