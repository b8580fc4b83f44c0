// Records an Architecture's forward step as a list of native ops; what is recorded is what runs.
import { assert, WrinkleFreeError } from "../errors.ts";
import type { Model } from "../model.ts";
import { Input, Rows } from "../native/abi.ts";
import type { Host, Pool } from "../native/host.ts";
import type { Gate, Recorder, RouteName, Value } from "../plugin/architecture.ts";
import type { Router, RouterShape } from "../plugin/router.ts";
import { AttentionRecorder, type RopeOptions, type TapeLimits } from "./attention.ts";
import {
  type Activation,
  type NewActivation,
  type OpArguments,
  type Quantized,
  type RecordedOp,
  TapeBuilder,
} from "./builder.ts";
import type { ExpertCounters } from "./expert-use.ts";
import { ExpertsRecorder } from "./experts.ts";
import { type HeadMode, recordScreen, type ScreenedHead } from "./head.ts";
import type { KernelTable } from "./kernels.ts";
import type { PackedLinear } from "./packed.ts";
import type { ActivationBuffer } from "./plan.ts";
import type { WeightPacker } from "./weights.ts";

const activations: Record<Gate | "none" | "softcap", number> = {
  none: 0,
  relu2: 1,
  silu: 2,
  gelu: 3,
  softcap: 4,
};
/** Elements of a quantization block where weights do not say (as in Q8_0). */
const defaultBlock = 32;
const scaleBytes = 8;
const embedFormats: Record<string, number> = { f32: 0, f16: 1, bf16: 2, q8_0: 3, q6_k: 4 };

/** What a tape is recorded with. */
export interface RecorderParts {
  readonly model: Model;
  readonly weights: WeightPacker;
  readonly kernels: KernelTable;
  readonly host: Host;
  readonly pool: Pool;
  readonly limits: TapeLimits;
  readonly mode: HeadMode;
  router(name: string): Router;
}

export class TapeRecorder implements Recorder {
  readonly model: Model;
  readonly #tape: TapeBuilder;
  readonly #attention: AttentionRecorder;
  readonly #experts: ExpertsRecorder;
  readonly #parts: RecorderParts;
  readonly #weights: WeightPacker;
  readonly #limits: TapeLimits;
  #logits: ActivationBuffer | undefined;
  #hidden: Activation | undefined;
  /** Index of the full head's first op, and the screened head where it was recorded. */
  headStart = 0;
  screen: ScreenedHead | undefined;

  constructor(parts: RecorderParts) {
    const { model, weights, kernels, limits, router } = parts;
    this.model = model;
    this.#parts = parts;
    this.#weights = weights;
    this.#limits = limits;
    this.#tape = new TapeBuilder(kernels, limits.maxRows);
    this.#attention = new AttentionRecorder({ ...parts, tape: this.#tape });
    const quantize = (value: Activation): Quantized => this.#quantize(value, 0);
    const { maxRows } = limits;
    const context = { model, weights, tape: this.#tape, maxRows, router, quantize };
    this.#experts = new ExpertsRecorder(context, this);
  }

  get contextLength(): number {
    return this.#limits.contextLength;
  }

  get ops(): readonly RecordedOp[] {
    return this.#tape.ops;
  }

  get buffers(): readonly ActivationBuffer[] {
    return this.#tape.buffers;
  }

  /** Where `logits` puts its rows. Throws `internal` if the architecture recorded none. */
  get logitsBuffer(): ActivationBuffer {
    assert(this.#logits, "the architecture recorded logits");
    return this.#logits;
  }

  /** The rows that the logits are made of. Throws `internal` if no logits were recorded. */
  get hidden(): Activation {
    assert(this.#hidden, "the architecture recorded logits");
    return this.#hidden;
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
    const out = this.#tape.activation(columns);
    return this.#tape.emit("embed", "Embed", weight, [], out, {
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
    const x = this.#tape.own(input);
    const groups = options.heads ?? 1;
    const columns = x.columns / groups;
    const epsilon = options.epsilon ?? this.model.hyperparameters.normEpsilon;
    const address = this.#weights.vector(weight, columns);
    const out = this.#tape.activation(x.columns);
    return this.#tape.emit("norm", "Norm", weight, [x], out, {
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
    const x = this.#tape.own(input);
    const packed = this.#weights.pack([gate, up], "alternate");
    this.#checkInput(x, packed, gate);
    const columns = this.model.shape(gate)[0] ?? 0;
    const out = this.#tape.activation(columns, packed.n / 2);
    return this.#emitLinear(`${gate} + up`, x, packed, out, { gate: activations[activation] });
  }

  rope(q: Value, k: Value, options: RopeOptions): void {
    this.#attention.rope(q, k, options);
  }

  attend(q: Value, k: Value, v: Value, options: { layer: number; scale?: number }): Value {
    return this.#attention.attend(q, k, v, options);
  }

  add(a: Value, b: Value, options: { scale?: number } = {}): Value {
    return this.#elementwise(0, a, b, { scale: options.scale ?? 1 });
  }

  multiply(a: Value, b: Value): Value {
    return this.#elementwise(1, a, b, {});
  }

  gateRows(input: Value, gate: Value): Value {
    return this.#elementwise(4, input, gate, {});
  }

  map(input: Value, activation: Gate | "softcap", options: { parameter?: number } = {}): Value {
    return this.#elementwise(2, input, undefined, {
      activation: activations[activation],
      scale: options.parameter ?? 1,
    });
  }

  route(logits: Value, router: string, shape: RouterShape): Value {
    return this.#experts.route(logits, router, shape);
  }

  chooseExperts(logits: Value, kind: RouteName, shape: RouterShape): Value {
    return this.#experts.choose(logits, kind, shape);
  }

  experts(...call: Parameters<Recorder["experts"]>): Value {
    return this.#experts.experts(...call);
  }

  /** Where tokens sent to each expert are counted, layer by layer. */
  get expertCounters(): readonly ExpertCounters[] {
    return this.#experts.use;
  }

  logits(input: Value, weight: string, options: { scale?: number } = {}): void {
    const x = this.#tape.own(input);
    assert(x.producer.name === "norm", "logits follow a norm");
    x.producer.args.rows = Rows.logits;
    this.#hidden = x;
    const packed = this.#weights.packHead(weight);
    this.#checkInput(x, packed, weight);
    const { maxLogitRows } = this.#limits;
    const out = this.#tape.activation(packed.n, packed.n, maxLogitRows);
    this.#logits = out.ref.buffer;
    const multiplier = options.scale ?? 1;
    this.headStart = this.#tape.ops.length;
    this.#emitLinear(weight, x, packed, out, { rows: Rows.logits, multiplier });
    this.screen = recordScreen(
      { ...this.#parts, tape: this.#tape, maxLogitRows },
      x,
      packed,
      multiplier,
    );
  }

  #linear(
    input: Value,
    weights: readonly string[],
    options: { add?: Value; scale?: number },
  ): Value[] {
    const x = this.#tape.own(input);
    const packed = this.#weights.pack(weights, "stack");
    this.#checkInput(x, packed, weights[0] ?? "");
    const whole = this.#tape.activation(packed.n);
    const add = options.add && this.#tape.own(options.add);
    const label = weights.length > 1 ? `${weights[0]} + ${weights.length - 1}` : (weights[0] ?? "");
    const written = this.#emitLinear(label, x, packed, whole, {
      multiplier: options.scale ?? 1,
      ...(add && { add: add.ref, addStride: add.stride }),
    });
    if (add) written.producer.reads.add(add.ref.buffer);
    return packed.parts.map((part) => this.#tape.slice(written, part.row, part.rows));
  }

  #emitLinear(
    label: string,
    x: Activation,
    packed: PackedLinear,
    out: NewActivation,
    args: OpArguments,
  ): Activation {
    const block = packed.group > 0 || packed.entry.input === Input.i8Block ? blockOf(packed) : 0;
    const quantized = packed.entry.input === Input.f32 ? undefined : this.#quantize(x, block);
    const written = this.#tape.emit(
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
        qBlock: block,
        multiplier: 1,
        ...args,
      },
      packed.entry,
    );
    if (quantized) {
      written.producer.reads.add(quantized.q.buffer);
      written.producer.reads.add(quantized.scale.buffer);
    }
    return written;
  }

  /** The int8 twin of a value: its norm writes it along, any other value gets an op of its own. */
  #quantize(x: Activation, block: number): Quantized {
    const known = x.quantized.get(block);
    if (known) return known;
    const stride = Math.ceil(x.columns / 64) * 64;
    const blocks = block === 0 ? 1 : Math.ceil(x.columns / block);
    const [q, scale] = [this.#tape.buffer(stride), this.#tape.buffer(scaleBytes * blocks)];
    const made = { q: { buffer: q, offset: 0 }, scale: { buffer: scale, offset: 0 }, stride };
    const target = { q: made.q, qScale: made.scale, qStride: stride, qBlock: block };
    let op = x.producer;
    if (op.name === "norm" && op.args.groups === 1 && x.quantized.size === 0) {
      Object.assign(op.args, target);
    } else {
      op = this.#tape.push("norm", "Norm", "quantize", {
        ...this.#normArguments(x, x.columns, 1, -1),
        ...target,
      });
      op.reads.add(x.ref.buffer);
    }
    op.writes.add(q);
    op.writes.add(scale);
    x.quantized.set(block, made);
    return made;
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
    const [x, y] = [this.#tape.own(a), b && this.#tape.own(b)];
    const width = kind === 4 ? 1 : x.columns;
    assert(!y || y.columns === width, "elementwise operands are of equal width");
    const out = this.#tape.activation(x.columns);
    const name = ["add", "multiply", "map", "gate", "gate rows"][kind] ?? "";
    return this.#tape.emit("elementwise", "Elementwise", name, y ? [x, y] : [x], out, {
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
}

/**
 * Activations of weights with a scale for each group are quantized in the same groups: such models
 * were trained without quantized activations, and a scale for a whole row would cost accuracy.
 */
function blockOf(packed: PackedLinear): number {
  return packed.group > 0 ? packed.group : defaultBlock;
}
