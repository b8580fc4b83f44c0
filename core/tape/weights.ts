// Packs a model's linears into the execution layout a kernel runs on: decoded, fused, on all threads.
import { assert, WrinkleFreeError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { Host, Pool } from "../native/host.ts";
import type { NativeEntry } from "../native/library.ts";
import { addressOf } from "../native/memory.ts";
import { NativeArena } from "./arena.ts";
import type { KernelTable } from "./kernels.ts";
import type { PackedExperts, PackedLinear, PackerOptions } from "./packed.ts";
import { type Arrangement, blockRows, type Part, paddedRows, type RowScales } from "./parts.ts";
import { ResidentExperts, type ResidentStack } from "./residents.ts";
import { packedBias, packedScales, scaleGroup } from "./scales.ts";
import { type DecodedStacks, decoded, stored } from "./stored.ts";

/** Float matrices up to this size are checked for NaN and infinity at load. */
const checkedBytes = 4 << 20;

export class WeightPacker extends NativeArena {
  readonly #model: Model;
  readonly #pool: Pool;
  readonly #kernels: KernelTable;
  readonly #layout: string | undefined;
  readonly #mapped: boolean;
  readonly #progress: (bytes: number) => void;
  readonly #stacks: DecodedStacks = new Map();
  readonly residents: ResidentExperts;

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
    this.residents = new ResidentExperts(options.expertsResident);
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
    const groups = new Set(names.map((name) => scaleGroup(this.#model, name)));
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

  /** A head [rows, k]: on the rows of the file where a library can, else packed. */
  packHead(name: string): PackedLinear {
    const { format, parts, shape, ternary, masters } = this.#model.tensor(name);
    const rowsAsStored = format === "f16" || format === "bf16" ? `${format}_rows` : format;
    const entry = this.#kernels.find("head_linear", rowsAsStored);
    const [rows = 0, k = 0] = shape;
    const whole = rows % blockRows === 0 && k % blockRows === 0;
    const fits = shape.length === 2 && parts.length === 1 && whole && !ternary && !masters;
    const info = parts[0];
    if (!entry || !info || !fits) return this.pack([name], "stack");
    const part = this.#layOut([name], "stack", 0);
    for (const own of part) this.#checkFinite(own);
    return this.#stored(part, entry, k, info.address);
  }

  /** Packs stacked experts [experts, rows_i, k]; each expert's linears make one matrix. */
  packExperts(names: readonly string[], arrangement: Arrangement): PackedExperts {
    const { k, experts } = this.#sizes(names, 3);
    const all = Array.from({ length: experts }, (_, e) => this.#layOut(names, arrangement, e));
    const entry = this.#entry(names[0] ?? "");
    if (entry.pack === 0) return this.#rawExperts(names, entry, k, experts);
    if (this.residents.limits(experts)) throw this.#notResident(names[0] ?? "", "i2_s is");
    return this.#packAll(all, entry, k);
  }

  /** Places for packed experts beside a stack that runs on its stored rows. */
  #residentStack(name: string, k: number, experts: number): ResidentStack | undefined {
    const { residents } = this;
    const rows = this.#model.shape(name)[1] ?? 0;
    if (!residents.limits(experts) || !this.#model.tensor(name).ternary) return undefined;
    if (rows % blockRows !== 0) throw this.#notResident(name, "multiples of 16 rows are");
    const entry = this.#kernels.ternaryLayout(this.#layout);
    const stride = Math.ceil(this.host.packedBytes(entry, rows, k) / 64) * 64;
    const memory = this.allocate(stride * (residents.places ?? 0));
    return {
      entry,
      table: this.allocate(experts * 8),
      pack: (expert, place) => {
        const address = memory + place * stride;
        const [part] = this.#layOut([name], "stack", expert);
        if (part) this.#packPart(part, entry, address, rows, k);
        return address;
      },
    };
  }

  #notResident(name: string, what: string): WrinkleFreeError {
    const { format, shape } = this.#model.tensor(name);
    return new WrinkleFreeError(
      "unsupported",
      `${this.#model.path}: ${name}: ${format} [${shape.join(", ")}] does not run from the file, ` +
        `only ${what}`,
      {
        file: this.#model.path,
        tensor: name,
        flag: "--experts-resident",
        hint: "Leave --experts-resident out, or convert the model with -q i2_s.",
      },
    );
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
    const { scale, group, bias } = this.#packFactors(all, n, k, known);
    this.#stacks.clear();
    return {
      entry,
      address,
      bytes,
      scale,
      bias,
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
      const shape = this.#shape(name);
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

  /** A vector is a matrix of one row: llama.cpp stores the gate of a shared expert so. */
  #shape(name: string): readonly number[] {
    const shape = this.#model.shape(name);
    return shape.length === 1 ? [1, ...shape] : shape;
  }

  #layOut(names: readonly string[], arrangement: Arrangement, expert: number): Part[] {
    let block = 0;
    return names.map((name, i) => {
      const rows = this.#shape(name).at(-2) ?? 0;
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
    const { format, masters, ternary, shape } = this.#model.tensor(name);
    const own = masters ? undefined : this.#kernels.find("linear", format);
    const mapped = this.#mapped || (shape.length === 3 && this.residents.limits(shape[0] ?? 0));
    const suits = !ternary || (own?.pack === 0 ? mapped : this.#layout === undefined);
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
    const address = tensor.format === entry.format ? info.address : this.#halves(part);
    return this.#stored(parts, entry, k, address);
  }

  #stored(parts: readonly Part[], entry: NativeEntry, k: number, address: number): PackedLinear {
    const part = parts[0];
    assert(part, "a linear has a part");
    const bytes = this.#model.tensor(part.name).parts[part.index]?.byteLength ?? 0;
    const { scale, group, bias } = this.#packFactors([parts], part.rows, k);
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
    const { scale, group, bias } = this.#packFactors(parts, rows, k);
    this.#progress(bytes);
    return {
      entry,
      address,
      bytes,
      scale,
      bias,
      n: rows,
      k,
      group,
      parts: [{ row: 0, rows }],
      experts,
      weightStride,
      scaleStride: scale === 0 ? 0 : rows * 4,
      biasStride: rows * 4,
      residents: this.#residentStack(name, k, experts),
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
      // They are packed now; memory should not hold them twice.
      this.host.release(encoded.address, encoded.share);
    } else {
      const own = decoded(this.#model, part, k, this.#stacks);
      scales = own.scales;
      this.host.pack(this.#pool, {
        ...job,
        source: addressOf(own.values),
        sourceBytes: own.values.byteLength,
        unpack: 0,
      });
    }
    if (this.#entry(part.name) === entry) this.#progress(encoded.share);
    return scales;
  }

  /** Scales and biases of matrices of n packed rows, in native memory; 0 = none. */
  #packFactors(
    all: readonly (readonly Part[])[],
    n: number,
    k: number,
    known?: ReadonlyMap<Part, RowScales>,
  ): { scale: number; group: number; bias: number } {
    const { values, group } = packedScales(this.#model, all, n, k, known);
    const bias = packedBias(this.#model, all, n);
    return {
      scale: values ? this.floats(values) : 0,
      group,
      bias: bias ? this.floats(bias) : 0,
    };
  }
}
