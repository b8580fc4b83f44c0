// Pools the hidden states of a prompt to one vector, row by row in order, so that chunks do not matter.
import { WrinkleFreeError } from "../errors.ts";
import type { Pooling } from "./protocol.ts";

/** Poolings by GGUF's `{arch}.pooling_type`; 4 (rank) needs a classifier head that we do not run. */
export const poolings: readonly Pooling[] = ["none", "mean", "cls", "last"];

/** Takes hidden states in the order of their positions; float32 [hidden] each. */
export class Pooler {
  readonly pooling: Pooling;
  #rows: Float32Array[] = [];
  #sum: Float64Array | undefined;
  #count = 0;

  constructor(pooling: Pooling) {
    this.pooling = pooling;
  }

  /** Adds the next row, which is copied. Throws `internal` where it is not finite. */
  add(row: Float32Array): void {
    if (!row.every(Number.isFinite)) {
      throw new WrinkleFreeError("internal", "the model's hidden states are not finite numbers");
    }
    this.#count++;
    if (this.pooling === "mean") {
      this.#sum ??= new Float64Array(row.length);
      for (const [i, value] of row.entries()) this.#sum[i] = (this.#sum[i] as number) + value;
    } else if (this.pooling === "none") this.#rows.push(row.slice());
    else if (this.pooling === "last" || this.#count === 1) this.#rows = [row.slice()];
  }

  /** One vector, or with "none" one for each token. */
  result(): Float32Array[] {
    const sum = this.#sum;
    return sum ? [Float32Array.from(sum, (value) => value / this.#count)] : this.#rows;
  }
}
