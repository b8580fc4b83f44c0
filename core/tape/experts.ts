// The mixture-of-experts verbs of the recorder: choosing experts, and running the chosen ones.
import { assert, WrinkleFreeError } from "../errors.ts";
import type { Model } from "../model.ts";
import { Activation as Act, Input, RouteKind } from "../native/abi.ts";
import { floatView, u32View } from "../native/memory.ts";
import type { Gate, Recorder, RouteName, Value } from "../plugin/architecture.ts";
import type { Router, RouterShape } from "../plugin/router.ts";
import type { Activation, NewActivation, Quantized, TapeBuilder } from "./builder.ts";
import type { ExpertCounters } from "./expert-use.ts";
import type { PackedExperts } from "./packed.ts";
import type { Ref } from "./plan.ts";
import type { ResidentStack } from "./residents.ts";
import type { WeightPacker } from "./weights.ts";

const scaleBytes = 8;

/** What the experts verbs need of the recorder. */
export interface ExpertsContext {
  readonly model: Model;
  readonly weights: WeightPacker;
  readonly tape: TapeBuilder;
  readonly maxRows: number;
  router(name: string): Router;
  /** The int8 twin of a value, one scale a row. */
  quantize(value: Activation): Quantized;
}

interface Slots {
  readonly starts: Ref;
  readonly slots: Ref;
  readonly rowOf: Ref;
  readonly expertOf: Ref;
}

/** Rows in slot order, as an expert linear reads them. */
interface SlotRows {
  readonly x: Ref;
  readonly scale: Ref | undefined;
  readonly stride: number;
}

export class ExpertsRecorder {
  readonly #context: ExpertsContext;
  readonly #recorder: Recorder;
  /** Where each layer counts what its experts get, in recorded order. */
  readonly use: ExpertCounters[] = [];
  /** Stacks of the layer that is being recorded. */
  #residents: ResidentStack[] = [];

  constructor(context: ExpertsContext, recorder: Recorder) {
    this.#context = context;
    this.#recorder = recorder;
  }

  route(logits: Value, name: string, shape: RouterShape): Value {
    const router = this.#context.router(name);
    // The reference checks the shape, once, on logits of zero.
    router.route(new Float32Array(shape.experts), shape);
    if (logits.columns !== shape.experts) {
      throw new WrinkleFreeError(
        "bad_file",
        `${this.#context.model.path}: the router has ${logits.columns} outputs, ` +
          `expert_count is ${shape.experts}`,
        { file: this.#context.model.path, field: "expert_count" },
      );
    }
    if (router.record) return router.record(this.#recorder, logits, shape);
    return this.#scripted(logits, router, shape);
  }

  choose(logits: Value, kind: RouteName, shape: RouterShape): Value {
    const { tape, weights } = this.#context;
    const x = tape.own(logits);
    const { routing, value } = this.#newRouting(shape.topK, x);
    const targets = shape.targets ?? Array.from({ length: shape.topK }, (_, i) => i);
    const fixed = kind === "fixed" ? weights.integers(targets) : 0;
    return {
      ...tape.emit("route", "Route", kind, [x], value, {
        logits: x.ref,
        ids: routing.ids,
        weights: routing.weights,
        stride: x.stride,
        experts: shape.experts,
        topK: shape.topK,
        kind: RouteKind[kind],
        normalize: shape.normalize ? 1 : 0,
        scale: shape.scale ?? 1,
        targets: fixed,
        bias: shape.bias ? weights.floats(shape.bias) : 0,
        groups: shape.groups ?? 0,
        groupsUsed: shape.groupsUsed ?? 0,
      }),
      routing,
    } as Value;
  }

  experts(
    input: Value,
    routing: Value,
    names: { gate: string; up: string; down: string; subNorm?: string },
    options: { activation: Gate; epsilon?: number; add?: Value },
  ): Value {
    const { tape, weights } = this.#context;
    const x = tape.own(input);
    const chosen = tape.own(routing).routing;
    assert(chosen, "experts get a routing");
    const down = weights.packExperts([names.down], "stack");
    const slots = this.#group(chosen, down.experts, names.gate);
    const inner = this.#inner(x, slots, chosen.topK, names, Act[options.activation]);
    this.#checkSizes(x, inner.columns, down, names);
    const hidden = this.#subNorm(inner, down, slots, chosen.topK, names.subNorm, options.epsilon);
    const out = this.#linear(
      names.down,
      down,
      hidden,
      slots,
      chosen.topK,
      tape.activation(x.columns, down.n, this.#context.maxRows * chosen.topK),
      Act.none,
    );
    const add = options.add && tape.own(options.add);
    const sum = tape.activation(x.columns);
    const inputs = add ? [out, add] : [out];
    const scattered = tape.emit("scatter", "Scatter", names.down, inputs, sum, {
      in: out.ref,
      slots: slots.slots,
      weights: chosen.weights,
      add: add?.ref ?? 0,
      out: sum.ref,
      inStride: out.stride,
      addStride: add?.stride ?? 0,
      outStride: sum.stride,
      columns: x.columns,
      topK: chosen.topK,
    });
    const counters = this.use.at(-1);
    if (counters && this.#residents.length > 0) weights.residents.add(counters, this.#residents);
    this.#residents = [];
    for (const ref of [slots.slots, chosen.weights]) scattered.producer.reads.add(ref.buffer);
    return scattered;
  }

  /** activation(gate x) * (up x) of each slot: in one pass, or in two where the rows are the file's. */
  #inner(
    x: Activation,
    slots: Slots,
    topK: number,
    names: { readonly gate: string; readonly up: string },
    activation: number,
  ): Activation {
    const { tape, model, weights, maxRows } = this.#context;
    const columns = model.shape(names.gate)[1] ?? 0;
    const rows = maxRows * topK;
    if (weights.fusible([names.gate, names.up])) {
      const packed = weights.packExperts([names.gate, names.up], "alternate");
      this.#checkInput(x, packed, names.gate);
      const gathered = this.#gather(x, packed, slots, topK);
      const out = tape.activation(columns, packed.n / 2, rows);
      return this.#linear(`${names.gate} + up`, packed, gathered, slots, topK, out, activation);
    }
    const [gate, up] = [names.gate, names.up].map((name) => {
      const packed = weights.packExperts([name], "stack");
      this.#checkInput(x, packed, name);
      const gathered = this.#gather(x, packed, slots, topK);
      const out = tape.activation(columns, packed.n, rows);
      return this.#linear(name, packed, gathered, slots, topK, out, Act.none);
    }) as [Activation, Activation];
    const out = tape.activation(columns, columns, rows);
    return tape.emit("elementwise", "Elementwise", "gate", [gate, up], out, {
      a: gate.ref,
      b: up.ref,
      out: out.ref,
      aStride: gate.stride,
      bStride: up.stride,
      outStride: out.stride,
      columns,
      kind: 3,
      activation,
      scale: 1,
      multiplier: topK,
    });
  }

  /** A router without a native op: its reference, between two runs of the tape. */
  #scripted(logits: Value, router: Router, shape: RouterShape): Value {
    const { tape } = this.#context;
    const x = tape.own(logits);
    const { routing, value } = this.#newRouting(shape.topK, x);
    const op = tape.script(`router ${router.name}`, (arena, rows) => {
      const at = (ref: Ref): number => arena + ref.buffer.offset + ref.offset;
      const ids = u32View(at(routing.ids), rows * shape.topK);
      const shares = floatView(at(routing.weights), rows * shape.topK);
      const all = floatView(at(x.ref), rows * x.stride);
      for (let row = 0; row < rows; row++) {
        const own = all.slice(row * x.stride, row * x.stride + shape.experts);
        const chosen = router.route(own, shape);
        ids.set(checkedExperts(router, chosen.experts, shape), row * shape.topK);
        shares.set(chosen.weights, row * shape.topK);
      }
    });
    op.reads.add(x.ref.buffer);
    op.writes.add(value.ref.buffer);
    return { ...value, producer: op, routing } as Value;
  }

  #newRouting(topK: number, logits: Activation) {
    const value = this.#context.tape.activation(2 * topK);
    const { buffer } = value.ref;
    const half = topK * 4 * this.#context.maxRows;
    const ids = { buffer, offset: 0 };
    return { value, routing: { ids, weights: { buffer, offset: half }, topK, logits } };
  }

  #group(chosen: NonNullable<Activation["routing"]>, experts: number, label: string): Slots {
    const { tape, maxRows, weights } = this.#context;
    const { topK } = chosen;
    const ref = (bytes: number): Ref => ({ buffer: tape.buffer(bytes, 1), offset: 0 });
    const starts = ref((experts + 1) * 4);
    const [slots, rowOf, expertOf] = [0, 1, 2].map(() => ref(maxRows * topK * 4)) as [
      Ref,
      Ref,
      Ref,
    ];
    const counts = weights.allocate(experts * 8);
    const probabilities = weights.allocate(experts * 8);
    this.use.push({ counts, probabilities, experts, topK });
    const { logits } = chosen;
    const op = tape.push("group", "Group", label, {
      ids: chosen.ids,
      starts,
      slots,
      rowOf,
      expertOf,
      counts,
      probabilities,
      logits: logits.ref,
      stride: logits.stride,
      experts,
      topK,
    });
    op.reads.add(chosen.ids.buffer).add(logits.ref.buffer);
    for (const written of [starts, slots, rowOf, expertOf]) op.writes.add(written.buffer);
    return { starts, slots, rowOf, expertOf };
  }

  /** Copies each token's row to its slots, int8 with its scale or float32 as the layout wants. */
  #gather(x: Activation, packed: PackedExperts, slots: Slots, topK: number): SlotRows {
    const { tape, maxRows } = this.#context;
    const twin = packed.entry.input === Input.f32 ? undefined : this.#context.quantize(x);
    const stride = twin?.stride ?? x.stride * 4;
    const out = { buffer: tape.buffer(stride, maxRows * topK), offset: 0 };
    const scale = twin && { buffer: tape.buffer(scaleBytes, maxRows * topK), offset: 0 };
    const op = tape.push("gather", "Gather", "rows of experts", {
      in: twin?.q ?? x.ref,
      out,
      index: slots.rowOf,
      scaleIn: twin?.scale ?? 0,
      scaleOut: scale ?? 0,
      inStride: stride,
      outStride: stride,
      bytes: twin?.stride ?? x.columns * 4,
      multiplier: topK,
    });
    op.reads.add((twin?.q ?? x.ref).buffer).add(slots.rowOf.buffer);
    if (twin) op.reads.add(twin.scale.buffer);
    op.writes.add(out.buffer);
    if (scale) op.writes.add(scale.buffer);
    return { x: out, scale, stride: twin ? stride : x.stride };
  }

  #linear(
    label: string,
    packed: PackedExperts,
    rows: SlotRows,
    slots: Slots,
    topK: number,
    out: NewActivation,
    gate: number,
  ): Activation {
    const { run, units } = packed.entry;
    const written = this.#context.tape.emit("linear_experts", "Experts", label, [], out, {
      x: rows.x,
      xScale: rows.scale ?? 0,
      weight: packed.address,
      scale: packed.scale,
      bias: packed.bias,
      out: out.ref,
      xStride: rows.stride,
      outStride: out.stride,
      n: packed.n,
      k: packed.k,
      group: packed.group,
      gate,
      multiplier: 1,
      run,
      units,
      starts: slots.starts,
      weightStride: packed.weightStride,
      scaleStride: packed.scaleStride,
      biasStride: packed.bias === 0 ? 0 : packed.biasStride,
      experts: packed.experts,
      topK,
      residents: packed.residents?.table ?? 0,
      residentRun: packed.residents?.entry.run ?? 0,
      residentUnits: packed.residents?.entry.units ?? 0,
    });
    if (packed.residents) this.#residents.push(packed.residents);
    const { reads } = written.producer;
    reads.add(rows.x.buffer).add(slots.starts.buffer);
    if (rows.scale) reads.add(rows.scale.buffer);
    return written;
  }

  /** The experts' sub-norm (each its own weights, or shared ones), and the int8 twin for `down`. */
  #subNorm(
    hidden: Activation,
    down: PackedExperts,
    slots: Slots,
    topK: number,
    name: string | undefined,
    epsilon: number | undefined,
  ): SlotRows {
    const { tape, maxRows, model } = this.#context;
    const quantized = down.entry.input !== Input.f32;
    const stride = quantized ? Math.ceil(hidden.columns / 64) * 64 : hidden.stride;
    const bytes = quantized ? stride : stride * 4;
    const x = { buffer: tape.buffer(bytes, maxRows * topK), offset: 0 };
    const scale = { buffer: tape.buffer(scaleBytes, maxRows * topK), offset: 0 };
    const norm = name === undefined ? undefined : this.#normWeights(name, hidden.columns);
    const op = tape.push("norm", "Norm", name ?? "quantize", {
      in: hidden.ref,
      weight: norm?.address ?? 0,
      out: quantized ? 0 : x,
      q: quantized ? x : 0,
      qScale: quantized ? scale : 0,
      inStride: hidden.stride,
      outStride: quantized ? 0 : stride,
      qStride: quantized ? stride : 0,
      columns: hidden.columns,
      groups: 1,
      epsilon: name === undefined ? -1 : (epsilon ?? model.hyperparameters.subNormEpsilon),
      multiplier: topK,
      weightIndex: norm?.each ? slots.expertOf : 0,
    });
    op.reads.add(hidden.ref.buffer).add(slots.expertOf.buffer);
    op.writes.add(x.buffer).add(scale.buffer);
    return { x, scale: quantized ? scale : undefined, stride };
  }

  /** Weights [columns], or [experts][columns] (`each`). */
  #normWeights(name: string, columns: number): { address: number; each: boolean } {
    const { model, weights } = this.#context;
    const tensor = model.tensor(name);
    if (tensor.shape.length === 1) return { address: weights.vector(name, columns), each: false };
    const experts = tensor.shape[0] ?? 0;
    const all = new Float32Array(experts * columns);
    if (tensor.parts.length === 1) all.set(model.floats(name));
    else for (const e of tensor.parts.keys()) all.set(model.floats(name, e), e * columns);
    return { address: weights.floats(all), each: true };
  }

  #checkInput(x: Activation, packed: PackedExperts, name: string): void {
    if (packed.k === x.columns) return;
    throw this.#misfit(name, `[experts, rows, ${x.columns}]`);
  }

  #checkSizes(x: Activation, inner: number, down: PackedExperts, names: { down: string }): void {
    const rows = this.#context.model.shape(names.down)[1];
    if (rows === x.columns && down.k === inner) return;
    throw this.#misfit(names.down, `[experts, ${x.columns}, ${inner}]`);
  }

  #misfit(name: string, expected: string): WrinkleFreeError {
    const { model } = this.#context;
    const shape = model.shape(name).join(", ");
    return new WrinkleFreeError(
      "bad_file",
      `${model.path}: ${name} has shape [${shape}], expected ${expected}`,
      { file: model.path, tensor: name },
    );
  }
}

function checkedExperts(router: Router, experts: Int32Array, shape: RouterShape): Int32Array {
  const valid = (expert: number): boolean =>
    Number.isInteger(expert) && expert >= 0 && expert < shape.experts;
  if (experts.length === shape.topK && experts.every(valid)) return experts;
  throw new WrinkleFreeError(
    "plugin",
    `router ${router.name} chose [${experts}] of ${shape.experts} experts, ${shape.topK} wanted`,
  );
}
