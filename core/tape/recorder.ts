// Records an Architecture's forward step as a list of native ops; what is recorded is what runs.
import { assert, WrinkleFreeError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { Host } from "../native/host.ts";
import { kvLayerBytes } from "../native/kv.ts";
import type { NativeEntry } from "../native/library.ts";
import type { Gate, Recorder, Value } from "../plugin/architecture.ts";
import type { RouterShape } from "../plugin/router.ts";
import type { KernelTable } from "./kernels.ts";
import { type ActivationBuffer, newBuffer, type Ref } from "./plan.ts";
import type { PackedLinear, WeightPacker } from "./weights.ts";

/** Argument values of an op: numbers, or places in activation buffers resolved when finished. */
export type OpArguments = Record<string, number | Ref>;

/** One recorded op. */
export interface RecordedOp {
  /** Name of the op and of the abi's argument struct. */
  readonly name: string;
  readonly struct: string;
  readonly entry: NativeEntry;
  readonly args: OpArguments;
  /** What it works on, for the listing: a weight's name, a layer. */
  readonly label: string;
  readonly reads: Set<ActivationBuffer>;
  readonly writes: Set<ActivationBuffer>;
}

/** Sizes that the whole tape is built for. */
export interface TapeLimits {
  /** Rows (tokens) of one step. */
  readonly maxRows: number;
  /** Rows whose logits one step can give. */
  readonly maxLogitRows: number;
  readonly contextLength: number;
  /** Address of the KV arena, and bytes of one page of all layers. */
  readonly kv: number;
  readonly pageBytes: number;
  readonly kvTypeK: number;
  readonly kvTypeV: number;
}

const activations: Record<Gate | "none" | "softcap", number> = {
  none: 0,
  relu2: 1,
  silu: 2,
  gelu: 3,
  softcap: 4,
};
const inputQuantized = 1;
const rowsOfLogits = 1;
const scaleBytes = 8;
const embedFormats: Record<string, number> = { f32: 0, f16: 1, bf16: 2, q8_0: 3, q6_k: 4 };

/** The recorder's own view of a Value. */
interface Activation extends Value {
  readonly ref: Ref;
  /** Elements between rows. */
  readonly stride: number;
  /** The op that wrote it. */
  readonly producer: RecordedOp;
  /** Its int8 twin, made on first use by a linear that wants one. */
  quantized?: { readonly q: Ref; readonly scale: Ref; readonly stride: number };
}

export class TapeRecorder implements Recorder {
  readonly model: Model;
  readonly ops: RecordedOp[] = [];
  readonly buffers: ActivationBuffer[] = [];
  readonly #weights: WeightPacker;
  readonly #kernels: KernelTable;
  readonly #host: Host;
  readonly #limits: TapeLimits;
  readonly #ropeTables = new Map<string, number>();
  #nextId = 0;
  #logits: ActivationBuffer | undefined;

  constructor(
    model: Model,
    weights: WeightPacker,
    kernels: KernelTable,
    host: Host,
    limits: TapeLimits,
  ) {
    this.model = model;
    this.#weights = weights;
    this.#kernels = kernels;
    this.#host = host;
    this.#limits = limits;
  }

  /** Where `logits` puts its rows. Throws `internal` if the architecture recorded none. */
  get logitsBuffer(): ActivationBuffer {
    assert(this.#logits, "the architecture recorded logits");
    return this.#logits;
  }

  embed(weight: string, options: { scale?: number } = {}): Value {
    const tensor = this.model.tensor(weight);
    const [rows, columns] = tensor.shape;
    const format = embedFormats[tensor.format];
    const info = tensor.parts[0];
    if (tensor.shape.length !== 2 || !rows || !columns || !info) {
      throw this.#badShape(weight, "[vocabulary, hidden]");
    }
    let table = info.address;
    let code = format;
    let rowBytes = info.byteLength / rows;
    if (code === undefined || info.address % 4 !== 0) {
      table = this.#weights.floats(this.model.floats(weight));
      code = 0;
      rowBytes = columns * 4;
    }
    const out = this.#newActivation(columns, columns);
    return this.#emit("embed", "Embed", weight, [], out, {
      table,
      rowBytes: rowBytes,
      out: out.ref,
      columns,
      outStride: out.stride,
      format: code,
      scale: options.scale ?? 1,
    });
  }

  norm(input: Value, weight: string, options: { epsilon?: number; heads?: number } = {}): Value {
    const x = this.#own(input);
    const groups = options.heads ?? 1;
    const columns = x.columns / groups;
    const epsilon = options.epsilon ?? this.model.hyperparameters.normEpsilon;
    const address = this.#weights.vector(weight, columns);
    const out = this.#newActivation(x.columns, x.columns);
    return this.#emit("norm", "Norm", weight, [x], out, {
      ...this.#normArguments(x, columns, groups, epsilon),
      weight: address,
      out: out.ref,
      outStride: out.stride,
    });
  }

  linear(input: Value, weights: string, options?: { add?: Value; scale?: number }): Value;
  linear(input: Value, weights: readonly string[]): Value[];
  linear(
    input: Value,
    weights: string | readonly string[],
    options: { add?: Value; scale?: number } = {},
  ): Value | Value[] {
    if (typeof weights === "string") return this.#linear(input, [weights], options)[0] as Value;
    if (weights.length > 1 && !this.#weights.fusible(weights)) {
      return weights.map((weight) => this.linear(input, weight));
    }
    return this.#linear(input, weights, {});
  }

  gated(input: Value, gate: string, up: string, activation: Gate): Value {
    if (!this.#weights.fusible([gate, up])) {
      const [g, u] = this.linear(input, [gate, up]) as [Value, Value];
      return this.#elementwise(3, g, u, { activation: activations[activation] });
    }
    const x = this.#own(input);
    const packed = this.#weights.pack([gate, up], "alternate");
    this.#checkInput(x, packed, gate);
    const columns = this.model.shape(gate)[0] ?? 0;
    const out = this.#newActivation(columns, packed.n / 2);
    return this.#emitLinear(`${gate} + up`, x, packed, out, { gate: activations[activation] });
  }

  rope(
    q: Value,
    k: Value,
    options: { kind: "half" | "interleaved"; factors?: string | Float32Array; scale?: number },
  ): void {
    const { headDim, ropeDimensions } = this.model.hyperparameters;
    const [a, b] = [this.#own(q), this.#own(k)];
    this.#emit("rope", "Rope", options.kind, [a, b], undefined, {
      q: a.ref,
      k: b.ref,
      table: this.#ropeTable(options.factors, options.scale ?? 1),
      qStride: a.stride,
      kStride: b.stride,
      headsQ: a.columns / headDim,
      headsK: b.columns / headDim,
      headDim,
      dimensions: ropeDimensions,
      interleaved: options.kind === "interleaved" ? 1 : 0,
    });
    for (const value of [a, b]) value.quantized = undefined;
  }

  attend(q: Value, k: Value, v: Value, options: { layer: number; scale?: number }): Value {
    const [qa, ka, va] = [this.#own(q), this.#own(k), this.#own(v)];
    const { heads, kvHeads, headDim } = this.model.hyperparameters;
    if (qa.columns !== heads * headDim || ka.columns !== kvHeads * headDim) {
      throw new WrinkleFreeError(
        "bad_file",
        `${this.model.path}: layer ${options.layer}: q and k have ${qa.columns} and ${ka.columns} ` +
          `columns, the heads need ${heads * headDim} and ${kvHeads * headDim}`,
        { file: this.model.path, tensor: `blk.${options.layer}.attn_q.weight` },
      );
    }
    const limits = this.#limits;
    const place = {
      kv: limits.kv,
      pageBytes: limits.pageBytes,
      layerOffset: options.layer * kvLayerBytes(kvHeads, headDim, limits.kvTypeK, limits.kvTypeV),
      kvHeads,
      headDim,
      kvTypeK: limits.kvTypeK,
      kvTypeV: limits.kvTypeV,
    };
    this.#emit("store", "Store", `layer ${options.layer}`, [ka, va], undefined, {
      ...place,
      k: ka.ref,
      v: va.ref,
      kStride: ka.stride,
      vStride: va.stride,
    });
    const out = this.#newActivation(heads * headDim, heads * headDim);
    const partials = this.#attentionPartials(heads, headDim);
    return this.#emit("attend", "Attend", `layer ${options.layer}`, [qa], out, {
      ...place,
      q: qa.ref,
      out: out.ref,
      partials: partials ? { buffer: partials, offset: 0 } : 0,
      partialsBytes: partials?.bytesPerRow ?? 0,
      qStride: qa.stride,
      outStride: out.stride,
      heads,
      scale: options.scale ?? 1 / Math.sqrt(headDim),
    });
  }

  add(a: Value, b: Value, options: { scale?: number } = {}): Value {
    return this.#elementwise(0, a, b, { scale: options.scale ?? 1 });
  }

  multiply(a: Value, b: Value): Value {
    return this.#elementwise(1, a, b, {});
  }

  map(input: Value, activation: Gate | "softcap", options: { parameter?: number } = {}): Value {
    return this.#elementwise(2, input, undefined, {
      activation: activations[activation],
      scale: options.parameter ?? 1,
    });
  }

  route(_logits: Value, router: string, _shape: RouterShape): Value {
    throw new WrinkleFreeError(
      "unsupported",
      `router ${router}: mixtures of experts do not run yet`,
    );
  }

  experts(): Value {
    throw new WrinkleFreeError("unsupported", "mixtures of experts do not run yet");
  }

  logits(input: Value, weight: string, options: { scale?: number } = {}): void {
    const x = this.#own(input);
    assert(x.producer.name === "norm", "logits follow a norm");
    x.producer.args.rows = rowsOfLogits;
    const packed = this.#weights.pack([weight], "stack");
    this.#checkInput(x, packed, weight);
    const out = this.#newActivation(packed.n, packed.n, this.#limits.maxLogitRows);
    this.#logits = out.ref.buffer;
    this.#emitLinear(weight, x, packed, out, {
      rows: rowsOfLogits,
      multiplier: options.scale ?? 1,
    });
  }

  #linear(
    input: Value,
    weights: readonly string[],
    options: { add?: Value; scale?: number },
  ): Value[] {
    const x = this.#own(input);
    const packed = this.#weights.pack(weights, "stack");
    this.#checkInput(x, packed, weights[0] ?? "");
    const whole = this.#newActivation(packed.n, packed.n);
    const add = options.add && this.#own(options.add);
    const label = weights.length > 1 ? `${weights[0]} + ${weights.length - 1}` : (weights[0] ?? "");
    const written = this.#emitLinear(label, x, packed, whole, {
      multiplier: options.scale ?? 1,
      ...(add && { add: add.ref, addStride: add.stride }),
    });
    if (add) this.#touch(written.producer, add.ref.buffer, "reads");
    return packed.parts.map((part) => ({
      id: this.#nextId++,
      columns: part.rows,
      ref: { buffer: whole.ref.buffer, offset: part.row * 4 },
      stride: whole.stride,
      producer: written.producer,
    }));
  }

  #emitLinear(
    label: string,
    x: Activation,
    packed: PackedLinear,
    out: Omit<Activation, "producer">,
    args: OpArguments,
  ): Activation {
    const quantized = packed.entry.input === inputQuantized ? this.#quantize(x) : undefined;
    const written = this.#emit(
      "linear",
      "Linear",
      label,
      quantized ? [] : [x],
      out,
      {
        x: quantized?.q ?? x.ref,
        xScale: quantized?.scale ?? 0,
        weight: packed.address,
        scale: packed.scale,
        bias: packed.bias,
        out: out.ref,
        xStride: quantized?.stride ?? x.stride,
        outStride: out.stride,
        n: packed.n,
        k: packed.k,
        group: packed.group,
        multiplier: 1,
        ...args,
      },
      packed.entry,
    );
    if (quantized) {
      this.#touch(written.producer, quantized.q.buffer, "reads");
      this.#touch(written.producer, quantized.scale.buffer, "reads");
    }
    return written;
  }

  /** The int8 twin of a value: its norm writes it along, any other value gets an op of its own. */
  #quantize(x: Activation): NonNullable<Activation["quantized"]> {
    if (x.quantized) return x.quantized;
    const stride = Math.ceil(x.columns / 64) * 64;
    const rows = this.#limits.maxRows;
    const [q, scale] = [newBuffer(stride, rows), newBuffer(scaleBytes, rows)];
    this.buffers.push(q, scale);
    const quantized = {
      q: { buffer: q, offset: 0 },
      scale: { buffer: scale, offset: 0 },
      stride,
    };
    const target = { q: quantized.q, qScale: quantized.scale, qStride: stride };
    let op = x.producer;
    const fused = op.name === "norm" && op.args.groups === 1;
    if (fused) {
      Object.assign(op.args, target);
    } else {
      op = this.#push("norm", "Norm", "quantize", {
        ...this.#normArguments(x, x.columns, 1, -1),
        ...target,
      });
      this.#touch(op, x.ref.buffer, "reads");
    }
    this.#touch(op, q, "writes");
    this.#touch(op, scale, "writes");
    x.quantized = quantized;
    return quantized;
  }

  #normArguments(x: Activation, columns: number, groups: number, epsilon: number): OpArguments {
    return {
      in: x.ref,
      weight: 0,
      out: 0,
      q: 0,
      qScale: 0,
      inStride: x.stride,
      outStride: 0,
      qStride: 0,
      qBlock: 0,
      columns,
      groups,
      epsilon,
      rows: 0,
    };
  }

  #elementwise(
    kind: number,
    a: Value,
    b: Value | undefined,
    options: { activation?: number; scale?: number },
  ): Value {
    const [x, y] = [this.#own(a), b && this.#own(b)];
    assert(!y || y.columns === x.columns, "elementwise operands are of equal width");
    const out = this.#newActivation(x.columns, x.columns);
    const name = ["add", "multiply", "map", "gate"][kind] ?? "";
    return this.#emit("elementwise", "Elementwise", name, y ? [x, y] : [x], out, {
      a: x.ref,
      b: y?.ref ?? 0,
      out: out.ref,
      aStride: x.stride,
      bStride: y?.stride ?? 0,
      outStride: out.stride,
      columns: x.columns,
      kind,
      activation: options.activation ?? 0,
      scale: options.scale ?? 1,
      rows: 0,
    });
  }

  /** Scratch for splitting one row's long context over threads; shared by all layers. */
  #partials: ActivationBuffer | undefined;
  #attentionPartials(heads: number, headDim: number): ActivationBuffer | undefined {
    if (!this.#partials) {
      const blocks = Math.ceil(this.#limits.contextLength / 32);
      const rows = Math.min(this.#limits.maxRows, 16);
      this.#partials = newBuffer(rows * heads * blocks * (headDim + 16) * 4, 1);
      this.buffers.push(this.#partials);
    }
    return this.#partials;
  }

  #ropeTable(factors: string | Float32Array | undefined, magnitude: number): number {
    const divisors = typeof factors === "string" ? this.model.floats(factors) : factors;
    const key = `${divisors ?? ""}:${magnitude}`;
    const known = this.#ropeTables.get(key);
    if (known !== undefined) return known;
    const { ropeDimensions, ropeTheta } = this.model.hyperparameters;
    const positions = this.#limits.contextLength;
    const table = this.#weights.allocate(positions * ropeDimensions * 4);
    this.#host.ropeTable(table, {
      positions,
      dimensions: ropeDimensions,
      theta: ropeTheta,
      factors: divisors,
      magnitude,
    });
    this.#ropeTables.set(key, table);
    return table;
  }

  #checkInput(x: Activation, packed: PackedLinear, weight: string): void {
    if (packed.k !== x.columns) throw this.#badShape(weight, `[rows, ${x.columns}]`);
  }

  #badShape(weight: string, expected: string): WrinkleFreeError {
    const shape = this.model.shape(weight);
    return new WrinkleFreeError(
      "bad_file",
      `${this.model.path}: ${weight} has shape [${shape.join(", ")}], expected ${expected}`,
      { file: this.model.path, tensor: weight },
    );
  }

  #own(value: Value): Activation {
    assert("ref" in value, "values come from this recorder");
    return value as Activation;
  }

  #newActivation(
    columns: number,
    stride: number,
    rows: number = this.#limits.maxRows,
  ): Omit<Activation, "producer"> {
    const buffer = newBuffer(stride * 4, rows);
    this.buffers.push(buffer);
    return { id: this.#nextId++, columns, ref: { buffer, offset: 0 }, stride };
  }

  #emit(
    name: string,
    struct: string,
    label: string,
    inputs: readonly Activation[],
    out: Omit<Activation, "producer"> | undefined,
    args: OpArguments,
    entry?: NativeEntry,
  ): Activation {
    const op = this.#push(name, struct, label, args, entry);
    for (const input of inputs) this.#touch(op, input.ref.buffer, "reads");
    if (out) this.#touch(op, out.ref.buffer, "writes");
    const partials = this.#partials;
    if (name === "attend" && partials) this.#touch(op, partials, "writes");
    return { ...(out ?? (inputs[0] as Activation)), producer: op };
  }

  #push(
    name: string,
    struct: string,
    label: string,
    args: OpArguments,
    entry: NativeEntry = this.#kernels.get(name),
  ): RecordedOp {
    const op: RecordedOp = {
      name,
      struct,
      entry,
      args,
      label,
      reads: new Set(),
      writes: new Set(),
    };
    this.ops.push(op);
    return op;
  }

  #touch(op: RecordedOp, buffer: ActivationBuffer, how: "reads" | "writes"): void {
    op[how].add(buffer);
  }
}
