// A head on native kernels: the packed exact weights, the coarse plane, and the ops on a tape.
import { layouts } from "../../core/native/abi.ts";
import type { Pool } from "../../core/native/host.ts";
import { addressOf, type Region } from "../../core/native/memory.ts";
import type { Native } from "../../core/native/select.ts";
import { writeStruct } from "../../core/native/struct.ts";
import { copied, packed } from "./harness.ts";

/** The `top` best of each row: ids and values, descending, ties to the lower id. */
export interface Top {
  readonly ids: Uint32Array;
  readonly values: Float32Array;
}

export class Head implements Disposable {
  readonly #native: Native;
  readonly #pool: Pool;
  readonly #format: string;
  readonly #n: number;
  readonly #k: number;
  readonly #weight: Region;
  readonly #plane: Region;

  /**
   * Packs f32 `weights` [n][k] to `format` and makes the plane, in two halves. `stored`: their bytes in
   * a format that a head runs on as they are.
   */
  constructor(
    native: Native,
    pool: Pool,
    format: string,
    weights: Float32Array,
    k: number,
    stored?: Uint8Array,
  ) {
    this.#native = native;
    this.#pool = pool;
    this.#format = format;
    this.#k = k;
    this.#n = weights.length / k;
    const shape = { n: this.#n, k, rows: 0, weights, x: new Float32Array(0) };
    this.#weight = stored
      ? copied(native, stored)
      : packed(native, pool, native.find("linear", format)!, shape);
    const entry = native.find("head_columns", format)!;
    this.#plane = native.host.alloc(native.host.packedBytes(entry, this.#n, k));
    const blocks = Math.ceil(this.#n / 16);
    const half = Math.ceil(blocks / 2);
    this.#run(["head_columns", "head_pack"], 0, { firstBlock: 0, blocks: half });
    if (blocks > half) this.#run(["head_pack"], 0, { firstBlock: half, blocks: blocks - half });
  }

  [Symbol.dispose](): void {
    this.#weight[Symbol.dispose]();
    this.#plane[Symbol.dispose]();
  }

  #run(names: readonly string[], logitRows: number, args: Record<string, number>): void {
    const ops = new DataView(new ArrayBuffer(layouts.Op.size * names.length));
    names.forEach((name, i) => {
      const entry = this.#native.find(name, this.#format) ?? this.#native.find(name)!;
      const { run, units, grain } = entry;
      writeStruct(ops, i * layouts.Op.size, layouts.Op, { run, units, grain, tag: i });
      writeStruct(ops, i * layouts.Op.size + layouts.Op.fields.args.offset, layouts.Head, {
        weight: this.#weight.address,
        plane: this.#plane.address,
        n: this.#n,
        k: this.#k,
        ...args,
      });
    });
    const step = new DataView(new ArrayBuffer(layouts.Step.size));
    writeStruct(step, 0, layouts.Step, { logitRows });
    this.#native.host.run(this.#pool, addressOf(ops), names.length, addressOf(step));
  }

  /** The top ones of each row of x [rows][k], the sparse logits, and how many rows were evaluated. */
  top(
    x: Float32Array,
    top: number,
    multiplier = 1,
    masks: readonly (Uint32Array | undefined)[] = [],
  ) {
    const rows = x.length / this.#k;
    const screen = this.#native.find("head_screen")!;
    using work = this.#native.host.alloc(
      rows * this.#native.host.packedBytes(screen, this.#n, this.#k),
    );
    const ids = new Uint32Array(rows * top);
    const values = new Float32Array(rows * top);
    const logits = new Float32Array(rows * this.#n);
    const counts = new Uint32Array(rows);
    const names = ["prepare", "screen", "threshold", "rescore", "top"].map(
      (name) => `head_${name}`,
    );
    const addresses = BigUint64Array.from({ length: rows }, (_, row) =>
      masks[row] ? BigInt(addressOf(masks[row])) : 0n,
    );
    this.#run(names, rows, {
      masks: masks.length > 0 ? addressOf(addresses) : 0,
      x: addressOf(x),
      work: work.address,
      logits: addressOf(logits),
      ids: addressOf(ids),
      values: addressOf(values),
      counts: addressOf(counts),
      xStride: this.#k,
      logitsStride: this.#n,
      top,
      multiplier,
    });
    return { ids, values, logits, counts };
  }
}

/** The same from all logits [rows][n]. */
export function topOf(logits: Float32Array, n: number, top: number): Top {
  const rows = logits.length / n;
  const ids = new Uint32Array(rows * top);
  const values = new Float32Array(rows * top);
  for (let r = 0; r < rows; r++) {
    const best: { id: number; value: number }[] = [];
    for (let id = 0; id < n; id++) {
      const value = logits[r * n + id]!;
      if (best.length === top && value <= best[top - 1]!.value) continue;
      let at = best.length;
      while (at > 0 && best[at - 1]!.value < value) at--;
      best.splice(at, 0, { id, value });
      if (best.length > top) best.pop();
    }
    best.forEach((found, i) => {
      ids[r * top + i] = found.id;
      values[r * top + i] = found.value;
    });
  }
  return { ids, values };
}
