// Packs a model's linears into the execution layout a kernel runs on: decoded, fused, on all threads.
import { assert, WrinkleFreeError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { Host, Pool } from "../native/host.ts";
import type { NativeEntry } from "../native/library.ts";
import { addressOf } from "../native/memory.ts";
import { NativeArena } from "./arena.ts";
import type { KernelTable } from "./kernels.ts";
import type { PackedExperts, PackedLinear, PackerOptions } from "./packed.ts";
import {
  type Arrangement,
  blockRows,
  type Part,
  packedRow,
  paddedRows,
  type RowScales,
  rowScales,
} from "./parts.ts";
import { decoded, stored } from "./stored.ts";

/** Float matrices up to this size are checked for NaN and infinity at load. */
const checkedBytes = 4 << 20;

export class WeightPacker extends NativeArena {
  readonly #model: Model;
  readonly #pool: Pool;
  readonly #kernels: KernelTable;
  readonly #layout: string | undefined;
  readonly #mapped: boolean;
  readonly #progress: (bytes: number) => void;

  constructor(
    model: Model,
    host: Host,
    pool: Pool,
    kernels: KernelTable,
    options: PackerOptions = {},
  ) {
    super(host);
    this.#model = model;
    this.#pool = pool;
    this.#kernels = kernels;
    this.#layout = options.layout;
    this.#mapped = options.mapped ?? false;
    this.#progress = options.progress ?? (() => {});
  }

  /** Whether the linears can share one pass: same K, same kind of weights, same scale groups. */
  fusible(names: readonly string[]): boolean {
    const tensors = names.map((name) => this.#model.tensor(name));
    const first = tensors[0];
    assert(first, "at least one weight");
    const same = tensors.every(
      (tensor) => tensor.shape.at(-1) === first.shape.at(-1) && tensor.ternary === first.ternary,
    );
    if (!same) return false;
    const entries = new Set(names.map((name) => this.#entry(name)));
    if (entries.size > 1) return false;
    if (this.#entry(names[0] ?? "").pack === 0) return false;
    if (!first.ternary) return true;
    const groups = new Set(names.map((name) => this.#group(name)));
    return groups.size === 1;
  }

  /** Packs linears [rows_i, k] into one matrix. Throws `bad_file` for a shape that does not fit. */
  pack(names: readonly string[], arrangement: Arrangement): PackedLinear {
    const { k } = this.#sizes(names, 2);
    const parts = this.#layOut(names, arrangement, 0);
    const entry = this.#entry(parts[0]?.name ?? "");
    for (const part of parts) this.#checkFinite(part);
    if (entry.pack === 0) return this.#raw(parts, entry, k);
    return this.#packAll([parts], entry, k);
  }

  /** Packs stacked experts [experts, rows_i, k]; each expert's linears make one matrix. */
  packExperts(names: readonly string[], arrangement: Arrangement): PackedExperts {
    const { k, experts } = this.#sizes(names, 3);
    const all = Array.from({ length: experts }, (_, e) => this.#layOut(names, arrangement, e));
    const entry = this.#entry(names[0] ?? "");
    if (entry.pack === 0) return this.#rawExperts(names, entry, k, experts);
    return this.#packAll(all, entry, k);
  }

  #packAll(all: readonly (readonly Part[])[], entry: NativeEntry, k: number): PackedExperts {
    const parts = all[0] ?? [];
    const n = parts.reduce((sum, part) => sum + paddedRows(part.rows), 0);
    const weightStride = Math.ceil(this.host.packedBytes(entry, n, k) / 64) * 64;
    const bytes = weightStride * all.length;
    const address = this.allocate(bytes);
    const known = new Map<Part, RowScales>();
    all.forEach((own, e) => {
      for (const part of own) {
        const scales = this.#packPart(part, entry, address + e * weightStride, n, k);
        if (scales) known.set(part, scales);
      }
    });
    const { scale, group } = this.#packScales(all, n, k, known);
    return {
      entry,
      address,
      bytes,
      scale,
      bias: this.#packBias(all, n),
      n,
      k,
      group,
      parts: parts.map((part) => ({ row: part.firstBlock * blockRows, rows: part.rows })),
      experts: all.length,
      weightStride,
      scaleStride: scale === 0 ? 0 : n * (group === 0 ? 1 : Math.ceil(k / group)) * 4,
      biasStride: n * 4,
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

  /** K (and experts) of linears that are packed together. */
  #sizes(names: readonly string[], rank: number): { k: number; experts: number } {
    let [k, experts] = [0, 0];
    for (const name of names) {
      const shape = this.#model.shape(name);
      const columns = shape[rank - 1] ?? 0;
      const count = rank === 3 ? (shape[0] ?? 0) : 1;
      const fits = (k === 0 || columns === k) && (experts === 0 || count === experts);
      if (shape.length !== rank || columns === 0 || !fits) {
        const expected = `${rank === 3 ? `${experts || "experts"}, ` : ""}rows, ${k || "columns"}`;
        throw new WrinkleFreeError(
          "bad_file",
          `${this.#model.path}: ${name} has shape [${shape.join(", ")}], expected [${expected}]`,
          { file: this.#model.path, tensor: name },
        );
      }
      [k, experts] = [columns, count];
    }
    return { k, experts };
  }

  #layOut(names: readonly string[], arrangement: Arrangement, expert: number): Part[] {
    let block = 0;
    return names.map((name, i) => {
      const rows = this.#model.shape(name).at(-2) ?? 0;
      const part = { name, index: expert, rows };
      if (arrangement === "alternate") return { ...part, firstBlock: i, blockStep: names.length };
      const placed = { ...part, firstBlock: block, blockStep: 1 };
      block += paddedRows(rows) / blockRows;
      return placed;
    });
  }

  #entry(name: string): NativeEntry {
    // A library with a linear for this very storage format knows it best, unless a layout is asked
    // for. Ternary rows are run as they are stored only where memory matters more than speed.
    const { format, masters, ternary } = this.#model.tensor(name);
    const own = masters ? undefined : this.#kernels.find("linear", format);
    const suits = !ternary || (own?.pack === 0 ? this.#mapped : this.#layout === undefined);
    if (own && suits) return own;
    return ternary ? this.#kernels.ternaryLayout(this.#layout) : this.#kernels.get("linear", "f16");
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
    const bias = this.#packBias([parts], part.rows);
    const { scale, group } = this.#packScales([parts], part.rows, k);
    this.#progress(bytes);
    const rows = [{ row: 0, rows: part.rows }];
    return { entry, address, bytes, scale, bias, n: part.rows, k, group, parts: rows };
  }

  /** Experts on their stored rows; a checkpoint's matrices, stored apart, are copied together. */
  #rawExperts(
    names: readonly string[],
    entry: NativeEntry,
    k: number,
    experts: number,
  ): PackedExperts {
    const name = names[0] ?? "";
    assert(names.length === 1, "rows of a file are not fused");
    const tensor = this.#model.tensor(name);
    const rows = tensor.shape[1] ?? 0;
    const parts = Array.from({ length: experts }, (_, e) => this.#layOut(names, "stack", e));
    const bytes = tensor.parts.reduce((sum, part) => sum + part.byteLength, 0);
    const [first, second] = parts.map(([part]) => stored(this.#model, part as Part, k));
    const joined = tensor.parts.length > 1 || !first || !second;
    const address = joined ? this.#join(name) : first.address;
    const weightStride = joined ? bytes / experts : second.address - first.address;
    if (tensor.format !== entry.format || !Number.isInteger(weightStride)) {
      throw new WrinkleFreeError(
        "unsupported",
        `${this.#model.path}: ${name}: experts in ${tensor.format} do not run`,
        { file: this.#model.path, tensor: name, hint: "Convert the model with -q f16." },
      );
    }
    const { scale, group } = this.#packScales(parts, rows, k);
    this.#progress(bytes);
    return {
      entry,
      address,
      bytes,
      scale,
      bias: this.#packBias(parts, rows),
      n: rows,
      k,
      group,
      parts: [{ row: 0, rows }],
      experts,
      weightStride,
      scaleStride: scale === 0 ? 0 : rows * 4,
      biasStride: rows * 4,
    };
  }

  #join(name: string): number {
    const parts = this.#model.tensor(name).parts;
    const address = this.allocate(parts.reduce((sum, part) => sum + part.byteLength, 0));
    let at = address;
    for (const part of parts) {
      this.host.copy(at, part.address, part.byteLength);
      at += part.byteLength;
    }
    return address;
  }

  /** A router or another small matrix: one bad weight would mislead every token silently. */
  #checkFinite(part: Part): void {
    const { ternary, parts } = this.#model.tensor(part.name);
    if (ternary || (parts[0]?.byteLength ?? 0) > checkedBytes) return;
    const values = this.#model.floats(part.name, part.index);
    const at = values.findIndex((value) => !Number.isFinite(value));
    if (at < 0) return;
    throw new WrinkleFreeError(
      "bad_file",
      `${this.#model.path}: ${part.name} holds ${values[at]} at element ${at}`,
      { file: this.#model.path, tensor: part.name, hint: "The checkpoint is damaged." },
    );
  }

  /** A matrix of any other format as float16 rows. */
  #halves(part: Part): number {
    const halves = Float16Array.from(this.#model.floats(part.name, part.index));
    const address = this.allocate(halves.byteLength);
    this.host.copy(address, addressOf(halves), halves.byteLength);
    return address;
  }

  /** Packs one part; returns its scales where decoding gave them along. */
  #packPart(
    part: Part,
    entry: NativeEntry,
    out: number,
    n: number,
    k: number,
  ): RowScales | undefined {
    const tensor = this.#model.tensor(part.name);
    const { ternary } = tensor;
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
    const encoded = stored(this.#model, part, k);
    let scales: RowScales | undefined;
    if (unpack) {
      const bad = this.host.pack(this.#pool, {
        ...job,
        source: encoded.address,
        sourceBytes: encoded.bytes,
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
      const own = decoded(this.#model, part, k);
      scales = own.scales;
      this.host.pack(this.#pool, {
        ...job,
        source: addressOf(own.values),
        sourceBytes: own.values.byteLength,
        unpack: 0,
      });
    }
    this.#progress(encoded.bytes);
    return scales;
  }

  /** Elements that share a scale; 0 = a row's. Told by the format alone where it has no groups. */
  #group(name: string): number {
    const { masters, quantizer } = this.#model.tensor(name);
    if (masters || quantizer.ternary?.group === undefined) return 0;
    return this.#scales(name, 0).group;
  }

  /** Scales of one part, one a row or `group` elements each. */
  #scales(name: string, index: number): RowScales {
    const tensor = this.#model.tensor(name);
    const [rows, k] = tensor.shape.slice(-2) as [number, number];
    const stacked = tensor.shape.length === 3 && tensor.parts.length === 1;
    const part = stacked ? 0 : index;
    const shape = stacked ? tensor.shape : [rows, k];
    const { quantizer } = tensor;
    const known = tensor.masters
      ? undefined
      : quantizer.scales?.(this.#model.data(name, part), shape);
    const ternary = known ? undefined : this.#model.ternary(name, part);
    const scales = known ?? ternary?.scales ?? new Float32Array();
    const group = tensor.masters ? undefined : quantizer.ternary?.group;
    if (!stacked) return rowScales(scales, rows, k, group);
    const count = scales.length / (tensor.shape[0] ?? 1);
    const own = scales.subarray(index * count, (index + 1) * count);
    return rowScales(own, rows, k, group);
  }

  #packScales(
    all: readonly (readonly Part[])[],
    n: number,
    k: number,
    known: ReadonlyMap<Part, RowScales> = new Map(),
  ): { scale: number; group: number } {
    const first = all[0]?.[0];
    if (!first || !this.#model.tensor(first.name).ternary) return { scale: 0, group: 0 };
    const group = this.#group(first.name);
    const perRow = group === 0 ? 1 : Math.ceil(k / group);
    const packed = new Float32Array(all.length * n * perRow);
    all.forEach((parts, e) => {
      for (const part of parts) {
        const own = known.get(part) ?? this.#scales(part.name, part.index);
        if (own.group !== group) throw this.#mixedGroups(part.name);
        for (let row = 0; row < part.rows; row++) {
          const target = (e * n + packedRow(part, row)) * perRow;
          packed.set(own.scales.subarray(row * perRow, (row + 1) * perRow), target);
        }
      }
    });
    return { scale: this.floats(packed), group };
  }

  #mixedGroups(name: string): WrinkleFreeError {
    return new WrinkleFreeError(
      "unsupported",
      `${this.#model.path}: ${name}: scales of experts differ in their groups`,
      { file: this.#model.path, tensor: name },
    );
  }

  #packBias(all: readonly (readonly Part[])[], n: number): number {
    const biasName = (part: Part): string => part.name.replace(/\.weight$/, ".bias");
    if (!all[0]?.some((part) => this.#model.has(biasName(part)))) return 0;
    const packed = new Float32Array(all.length * n);
    all.forEach((parts, e) => {
      for (const part of parts) {
        if (!this.#model.has(biasName(part))) continue;
        const bias = this.#model.floats(biasName(part), part.index);
        if (bias.length !== part.rows) {
          throw new WrinkleFreeError(
            "bad_file",
            `${this.#model.path}: ${biasName(part)} has ${bias.length} elements, not ${part.rows}`,
            { file: this.#model.path, tensor: biasName(part) },
          );
        }
        bias.forEach((value, row) => {
          packed[e * n + packedRow(part, row)] = value;
        });
      }
    });
    return this.floats(packed);
  }
}
