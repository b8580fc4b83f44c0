// Packs a model's linears into the execution layout a kernel runs on: decoded, fused, on all threads.
import { assert, WrinkleFreeError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { Host, Pool } from "../native/host.ts";
import type { NativeEntry } from "../native/library.ts";
import { addressOf, floatView, type Region } from "../native/memory.ts";
import type { KernelTable } from "./kernels.ts";

/** Rows of W that every layout interleaves (abi.block_rows). */
const blockRows = 16;

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

/** Scales of one ternary matrix: one a row, or `group` elements each. */
export interface RowScales {
  readonly scales: Float32Array;
  readonly group: number;
}

/** How parts share the rows of the packed matrix: one after another, or in alternating blocks of 16. */
export type Arrangement = "stack" | "alternate";

interface Part {
  readonly name: string;
  readonly index: number;
  readonly rows: number;
  readonly firstBlock: number;
  readonly blockStep: number;
}

export class WeightPacker {
  readonly #model: Model;
  readonly #host: Host;
  readonly #pool: Pool;
  readonly #kernels: KernelTable;
  readonly #layout: string | undefined;
  readonly #regions: Region[] = [];
  readonly #progress: (bytes: number) => void;
  /** Bytes of native memory that packed weights take. */
  bytes = 0;

  constructor(
    model: Model,
    host: Host,
    pool: Pool,
    kernels: KernelTable,
    options: { layout?: string; progress?: (bytes: number) => void } = {},
  ) {
    this.#model = model;
    this.#host = host;
    this.#pool = pool;
    this.#kernels = kernels;
    this.#layout = options.layout;
    this.#progress = options.progress ?? (() => {});
  }

  /** Whether the linears can share one pass: same K, same kind of weights, same scale groups. */
  fusible(names: readonly string[]): boolean {
    const tensors = names.map((name) => this.#model.tensor(name));
    const first = tensors[0];
    assert(first, "at least one weight");
    const same = tensors.every(
      (tensor) => tensor.shape[1] === first.shape[1] && tensor.ternary === first.ternary,
    );
    if (!same) return false;
    const entries = new Set(names.map((name) => this.#entry(name, first.ternary)));
    if (entries.size > 1) return false;
    if (!first.ternary) return this.#entry(names[0] ?? "", false).pack !== 0;
    const groups = new Set(names.map((name) => this.#scales(name, 0).group));
    return groups.size === 1;
  }

  /** Packs linears [rows_i, k] into one matrix. Throws `bad_file` for a shape that does not fit. */
  pack(names: readonly string[], arrangement: Arrangement): PackedLinear {
    const first = names[0];
    assert(first !== undefined, "at least one weight");
    const k = this.#columns(names);
    const parts = layOut(
      names.map((name) => ({ name, index: 0, rows: this.#model.shape(name)[0] ?? 0 })),
      arrangement,
    );
    const n = parts.reduce((sum, part) => sum + paddedRows(part.rows), 0);
    const ternary = this.#model.tensor(first).ternary;
    const entry = this.#entry(first, ternary);
    if (entry.pack === 0) return this.#raw(parts, entry, k);
    const bytes = this.#host.packedBytes(entry, n, k);
    const address = this.#allocate(bytes);
    for (const part of parts) this.#packPart(part, entry, address, n, k, ternary);
    const { scale, group } = this.#packScales(parts, n, k, ternary);
    return {
      entry,
      address,
      bytes,
      scale,
      bias: this.#packBias(parts, n),
      n,
      k,
      group,
      parts: parts.map((part) => ({ row: part.firstBlock * blockRows, rows: part.rows })),
    };
  }

  /** A float32 vector (norm weight) in native memory; checked to have `length` elements. */
  vector(name: string, length: number): number {
    const shape = this.#model.shape(name);
    const values = this.#model.floats(name);
    if (values.length !== length) {
      throw new WrinkleFreeError(
        "bad_file",
        `${this.#model.path}: ${name} has shape [${shape}], expected ${length} elements`,
        { file: this.#model.path, tensor: name },
      );
    }
    return this.floats(values);
  }

  /** Copies float32 values to native memory. */
  floats(values: Float32Array): number {
    const address = this.#allocate(values.byteLength);
    floatView(address, values.length).set(values);
    return address;
  }

  /** Zeroed native memory that lives as long as the weights. */
  allocate(bytes: number): number {
    return this.#allocate(bytes);
  }

  [Symbol.dispose](): void {
    for (const region of this.#regions) region[Symbol.dispose]();
    this.#regions.length = 0;
  }

  #columns(names: readonly string[]): number {
    let k = 0;
    for (const name of names) {
      const shape = this.#model.shape(name);
      const columns = shape[1];
      if (shape.length !== 2 || !columns || (k !== 0 && columns !== k)) {
        throw new WrinkleFreeError(
          "bad_file",
          `${this.#model.path}: ${name} has shape [${shape}], expected [rows, ${k || "columns"}]`,
          { file: this.#model.path, tensor: name },
        );
      }
      k = columns;
    }
    return k;
  }

  #entry(name: string, ternary: boolean): NativeEntry {
    // A library with a linear for this very storage format knows it best, unless a layout is asked for.
    const { format, masters } = this.#model.tensor(name);
    const own = masters ? undefined : this.#kernels.find("linear", format);
    if (own && (!ternary || this.#layout === undefined)) return own;
    return ternary ? this.#kernels.ternaryLayout(this.#layout) : this.#kernels.get("linear", "f16");
  }

  #allocate(bytes: number): number {
    const region = this.#host.alloc(Math.max(bytes, 64));
    this.#regions.push(region);
    this.bytes += region.bytes;
    return region.address;
  }

  /** A linear that runs on the stored rows themselves, without a copy where the format is right. */
  #raw(parts: readonly Part[], entry: NativeEntry, k: number): PackedLinear {
    const part = parts[0];
    assert(part && parts.length === 1, "rows of a file are not fused");
    const tensor = this.#model.tensor(part.name);
    const info = tensor.parts[part.index];
    assert(info, "the part exists");
    const bytes = info.byteLength;
    const address = tensor.format === entry.format ? info.address : this.#halves(part);
    const bias = this.#packBias(parts, part.rows);
    this.#progress(bytes);
    const rows = [{ row: 0, rows: part.rows }];
    return { entry, address, bytes, scale: 0, bias, n: part.rows, k, group: 0, parts: rows };
  }

  /** A matrix of any other format as float16 rows. */
  #halves(part: Part): number {
    const halves = Float16Array.from(this.#model.floats(part.name, part.index));
    const address = this.#allocate(halves.byteLength);
    this.#host.copy(address, addressOf(halves), halves.byteLength);
    return address;
  }

  #packPart(
    part: Part,
    entry: NativeEntry,
    out: number,
    n: number,
    k: number,
    ternary: boolean,
  ): void {
    const tensor = this.#model.tensor(part.name);
    const info = tensor.parts[part.index];
    assert(info, "the part exists");
    const unpack = tensor.masters ? undefined : this.#kernels.find("unpack", tensor.format);
    const job = {
      pack: entry.pack,
      out,
      n: part.rows,
      k,
      firstBlock: part.firstBlock,
      blockStep: part.blockStep,
      float: ternary ? 0 : 1,
      totalRows: n,
    };
    if (unpack) {
      const bad = this.#host.pack(this.#pool, {
        ...job,
        source: info.address,
        sourceBytes: info.byteLength,
        unpack: unpack.unpack,
      });
      if (bad !== 0) {
        throw new WrinkleFreeError(
          "bad_file",
          `${this.#model.path}: ${part.name} holds codes that are not valid ${tensor.format}`,
          { file: this.#model.path, tensor: part.name, hint: "The file is damaged; get it again." },
        );
      }
    } else {
      const values = ternary
        ? this.#model.ternary(part.name, part.index).trits
        : this.#model.floats(part.name, part.index);
      this.#host.pack(this.#pool, {
        ...job,
        source: addressOf(values),
        sourceBytes: values.byteLength,
        unpack: 0,
      });
    }
    this.#progress(info.byteLength);
  }

  #scales(name: string, index: number): RowScales {
    const tensor = this.#model.tensor(name);
    const rows = tensor.shape[tensor.shape.length - 2] ?? 0;
    const k = tensor.shape[tensor.shape.length - 1] ?? 0;
    const quantizer = tensor.quantizer;
    if (!tensor.masters && quantizer.scales) {
      const data = this.#model.data(name, index);
      const scales = quantizer.scales(data, [rows, k]);
      return rowScales(scales, rows, k, quantizer.ternary?.group);
    }
    const ternary = this.#model.ternary(name, index);
    return rowScales(ternary.scales, rows, k, ternary.group);
  }

  #packScales(
    parts: readonly Part[],
    n: number,
    k: number,
    ternary: boolean,
  ): { scale: number; group: number } {
    if (!ternary) return { scale: 0, group: 0 };
    const all = parts.map((part) => this.#scales(part.name, part.index));
    const group = all[0]?.group ?? 0;
    const perRow = group === 0 ? 1 : Math.ceil(k / group);
    const packed = new Float32Array(n * perRow);
    parts.forEach((part, i) => {
      const own = all[i] as RowScales;
      for (let row = 0; row < part.rows; row++) {
        const target = packedRow(part, row) * perRow;
        for (let g = 0; g < perRow; g++) {
          packed[target + g] = own.scales[row * perRow + g] as number;
        }
      }
    });
    return { scale: this.floats(packed), group };
  }

  #packBias(parts: readonly Part[], n: number): number {
    const biasName = (part: Part): string => part.name.replace(/\.weight$/, ".bias");
    if (!parts.some((part) => this.#model.has(biasName(part)))) return 0;
    const packed = new Float32Array(n);
    for (const part of parts) {
      if (!this.#model.has(biasName(part))) continue;
      const bias = this.#model.floats(biasName(part), part.index);
      if (bias.length !== part.rows) {
        throw new WrinkleFreeError(
          "bad_file",
          `${this.#model.path}: ${biasName(part)} has ${bias.length} elements, expected ${part.rows}`,
          { file: this.#model.path, tensor: biasName(part) },
        );
      }
      for (let row = 0; row < part.rows; row++) packed[packedRow(part, row)] = bias[row] as number;
    }
    return this.floats(packed);
  }
}

function paddedRows(rows: number): number {
  return Math.ceil(rows / blockRows) * blockRows;
}

function packedRow(part: Part, row: number): number {
  const block = part.firstBlock + Math.floor(row / blockRows) * part.blockStep;
  return block * blockRows + (row % blockRows);
}

function layOut(
  parts: readonly { name: string; index: number; rows: number }[],
  arrangement: Arrangement,
): Part[] {
  if (arrangement === "alternate") {
    return parts.map((part, i) => ({ ...part, firstBlock: i, blockStep: parts.length }));
  }
  let block = 0;
  return parts.map((part) => {
    const placed = { ...part, firstBlock: block, blockStep: 1 };
    block += paddedRows(part.rows) / blockRows;
    return placed;
  });
}

/**
 * One scale a row wherever a row's groups agree, so that all formats of the same weights run the same
 * arithmetic; groups of zeros, whose stored scale says nothing, agree with any.
 */
export function rowScales(
  scales: Float32Array,
  rows: number,
  k: number,
  group: number | undefined,
): RowScales {
  if (group === undefined) return { scales: new Float32Array(rows).fill(scales[0] ?? 0), group: 0 };
  if (group === Infinity || group === k) return { scales, group: 0 };
  const perRow = Math.ceil(k / group);
  const merged = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let own = 0;
    for (let g = 0; g < perRow; g++) {
      const value = scales[row * perRow + g] as number;
      if (value === 0 || value === own) continue;
      if (own !== 0) return { scales, group };
      own = value;
    }
    merged[row] = own;
  }
  return { scales: merged, group: 0 };
}
