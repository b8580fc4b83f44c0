// A whole forward step in plain scalar TypeScript: a Recorder that computes instead of recording.
import type { Gate, Model, Recorder, Routing, Value } from "../../core/index.ts";
import type { RouterShape } from "../../core/plugin/router.ts";
import topK from "../../plugins/routers/index.ts";
import {
  attend,
  exp,
  fma,
  gelu,
  half,
  quantize,
  relu2,
  rmsNorm,
  type Stored,
  silu,
  softcap,
  tree,
  turn,
} from "../kernels/oracle.ts";

const f = Math.fround;
const activations: Record<Gate, (x: number) => number> = { relu2, silu, gelu };

/** A value whose rows are known: one an input token. */
interface Known extends Value {
  rows: Float32Array[];
  routing?: Routing[];
}

/**
 * Computes the logits of every position of one sequence, as the Architecture's `record` says, in the
 * canonical order of kernels-zig and with nothing of its code.
 */
export class OracleStep implements Recorder {
  readonly model: Model;
  readonly contextLength: number;
  result: Float32Array[] = [];
  readonly #tokens: readonly number[];
  #id = 0;

  constructor(model: Model, tokens: readonly number[]) {
    this.model = model;
    this.contextLength = model.hyperparameters.contextLength;
    this.#tokens = tokens;
  }

  embed(weight: string, options: { scale?: number } = {}): Value {
    const table = this.model.floats(weight);
    const columns = this.model.shape(weight)[1]!;
    return this.#value(
      this.#tokens.map((token) => {
        const row = table.slice(token * columns, (token + 1) * columns);
        return options.scale === undefined ? row : row.map((v) => f(v * f(options.scale!)));
      }),
    );
  }

  norm(input: Value, weight: string, options: { epsilon?: number; heads?: number } = {}): Value {
    const epsilon = options.epsilon ?? this.model.hyperparameters.normEpsilon;
    const weights = this.model.floats(weight);
    const size = input.columns / (options.heads ?? 1);
    return this.#map(input, (row) => {
      const out = new Float32Array(row.length);
      for (let at = 0; at < row.length; at += size) {
        out.set(rmsNorm(row.slice(at, at + size), weights, epsilon), at);
      }
      return out;
    });
  }

  linear(input: Value, weights: string, options?: { add?: Value; scale?: number }): Value;
  linear(input: Value, weights: readonly string[]): Value[];
  linear(
    input: Value,
    weights: string | readonly string[],
    options: { add?: Value; scale?: number } = {},
  ): Value | Value[] {
    if (typeof weights !== "string") return weights.map((weight) => this.linear(input, weight));
    const add = options.add && rowsOf(options.add);
    const rows = rowsOf(input).map((row, r) => {
      const out = this.#row(row, weights, 0, options.scale ?? 1);
      return add ? out.map((v, i) => f(v + add[r]![i]!)) : out;
    });
    return this.#value(rows);
  }

  gated(input: Value, gate: string, up: string, activation: Gate): Value {
    const act = activations[activation];
    return this.#map(input, (row) => {
      const [g, u] = [this.#row(row, gate), this.#row(row, up)];
      return g.map((v, i) => f(act(v) * u[i]!));
    });
  }

  rope(
    q: Value,
    k: Value,
    options: { kind: "half" | "interleaved"; factors?: string | Float32Array; scale?: number },
  ): void {
    const { headDim, ropeDimensions: d, ropeTheta } = this.model.hyperparameters;
    const factors =
      typeof options.factors === "string" ? this.model.floats(options.factors) : options.factors;
    for (const value of [q, k]) {
      rowsOf(value).forEach((row, position) => {
        for (let head = 0; head < row.length; head += headDim) {
          for (let i = 0; i < d / 2; i++) {
            const angle = (position * ropeTheta ** ((-2 * i) / d)) / (factors?.[i] ?? 1);
            const magnitude = options.scale ?? 1;
            const [cos, sin] = [f(Math.cos(angle) * magnitude), f(Math.sin(angle) * magnitude)];
            const interleaved = options.kind === "interleaved";
            const a = head + (interleaved ? 2 * i : i);
            const b = interleaved ? a + 1 : a + d / 2;
            [row[a], row[b]] = turn(row[a]!, row[b]!, cos, sin) as [number, number];
          }
        }
      });
    }
  }

  attend(q: Value, k: Value, v: Value, options: { layer: number; scale?: number }): Value {
    const { heads, kvHeads, headDim } = this.model.hyperparameters;
    const scale = options.scale ?? 1 / Math.sqrt(headDim);
    const stored = (value: Value, head: number): Stored[] =>
      rowsOf(value).map((row) => row.slice(head * headDim, (head + 1) * headDim).map(half));
    const keys = Array.from({ length: kvHeads }, (_, head) => stored(k, head));
    const values = Array.from({ length: kvHeads }, (_, head) => stored(v, head));
    return this.#map(q, (row, position) => {
      const out = new Float32Array(row.length);
      for (let head = 0; head < heads; head++) {
        const shared = Math.floor(head / (heads / kvHeads));
        const own = row.slice(head * headDim, (head + 1) * headDim);
        const [ks, vs] = [keys[shared]!, values[shared]!].map((all) => all.slice(0, position + 1));
        out.set(attend(own, ks!, vs!, scale), head * headDim);
      }
      return out;
    });
  }

  add(a: Value, b: Value, options: { scale?: number } = {}): Value {
    const scale = options.scale ?? 1;
    const other = rowsOf(b);
    return this.#map(a, (row, r) => row.map((v, i) => f(v + f(other[r]![i]! * f(scale)))));
  }

  multiply(a: Value, b: Value): Value {
    const other = rowsOf(b);
    return this.#map(a, (row, r) => row.map((v, i) => f(v * other[r]![i]!)));
  }

  gateRows(input: Value, gate: Value): Value {
    const factors = rowsOf(gate).map(([logit]) => f(1 / f(1 + exp(-logit!))));
    return this.#map(input, (row, r) => row.map((v) => f(v * factors[r]!)));
  }

  map(input: Value, activation: Gate | "softcap", options: { parameter?: number } = {}): Value {
    const act =
      activation === "softcap"
        ? (x: number) => softcap(x, options.parameter ?? 1)
        : activations[activation];
    return this.#map(input, (row) => row.map(act));
  }

  chooseExperts(): Value {
    throw new Error("the oracle routes by the reference");
  }

  route(logits: Value, router: string, shape: RouterShape): Value {
    const chosen = topK.routers!.find((candidate) => candidate.name === router)!;
    const value = this.#value(rowsOf(logits));
    value.routing = rowsOf(logits).map((row) => {
      const { experts, weights } = chosen.route(row, shape);
      return { experts, weights: router === "top-k" ? shares(row, experts, shape) : weights };
    });
    return value;
  }

  experts(
    input: Value,
    routing: Value,
    weights: { gate: string; up: string; down: string; subNorm?: string },
    options: { activation: Gate; epsilon?: number; add?: Value },
  ): Value {
    const act = activations[options.activation];
    const add = options.add && rowsOf(options.add);
    return this.#map(input, (row, r) => {
      const { experts, weights: shares } = (routing as Known).routing![r]!;
      const sum = new Float32Array(input.columns);
      experts.forEach((expert, rank) => {
        const gate = this.#row(row, weights.gate, expert);
        const up = this.#row(row, weights.up, expert);
        let hidden: Float32Array = gate.map((v, i) => f(act(v) * up[i]!));
        if (weights.subNorm)
          hidden = this.#subNorm(hidden, weights.subNorm, expert, options.epsilon);
        const out = this.#row(hidden, weights.down, expert);
        sum.forEach((v, i) => {
          sum[i] = rank === 0 ? f(out[i]! * shares[0]!) : fma(out[i]!, shares[rank]!, v);
        });
      });
      return add ? sum.map((v, i) => f(v + add[r]![i]!)) : sum;
    });
  }

  logits(input: Value, weight: string, options: { scale?: number } = {}): void {
    this.result = rowsOf(this.linear(input, weight, options));
  }

  #subNorm(hidden: Float32Array, name: string, expert: number, epsilon?: number): Float32Array {
    const tensor = this.model.tensor(name);
    const own = tensor.parts.length > 1 ? this.model.floats(name, expert) : this.model.floats(name);
    const start = own.length > hidden.length ? expert * hidden.length : 0;
    const eps = epsilon ?? this.model.hyperparameters.subNormEpsilon;
    return rmsNorm(hidden, own.slice(start, start + hidden.length), eps);
  }

  /** One row through one linear: ternary weights on int8 activations, or float32 ones. */
  #row(row: Float32Array, name: string, expert = 0, multiplier = 1): Float32Array {
    const tensor = this.model.tensor(name);
    const stacked = tensor.shape.length === 3;
    const [rows, k] = tensor.shape.slice(-2) as [number, number];
    const part = tensor.parts.length > 1 ? expert : 0;
    const offset = stacked && tensor.parts.length === 1 ? expert : 0;
    const biasName = name.replace(/weight$/, "bias");
    const bias = this.model.has(biasName) ? this.model.floats(biasName, part) : undefined;
    const finish = (value: number, j: number): number => {
      const scaled = multiplier === 1 ? value : f(value * f(multiplier));
      return bias ? f(scaled + bias[j]!) : scaled;
    };
    if (!tensor.ternary) {
      const w = this.#cached(name, part, () => this.model.floats(name, part)) as Float32Array;
      return Float32Array.from({ length: rows }, (_, j) => {
        const lanes = new Float32Array(16);
        const base = (offset * rows + j) * k;
        for (let i = 0; i < k; i++) lanes[i % 16] = fma(w[base + i]!, row[i]!, lanes[i % 16]!);
        return finish(tree(lanes), j);
      });
    }
    const { trits, scales } = this.#cached(name, part, () => this.model.ternary(name, part)) as {
      trits: Int8Array;
      scales: Float32Array;
    };
    const { q, inverse } = quantize(row);
    const factor = f(scales[Math.min(offset, scales.length - 1)]! * inverse);
    return Float32Array.from({ length: rows }, (_, j) => {
      let sum = 0;
      const base = (offset * rows + j) * k;
      for (let i = 0; i < k; i++) sum += trits[base + i]! * q[i]!;
      return finish(f(f(sum) * factor), j);
    });
  }

  readonly #cache = new Map<string, unknown>();
  #cached(name: string, part: number, make: () => unknown): unknown {
    const key = `${name} ${part}`;
    if (!this.#cache.has(key)) this.#cache.set(key, make());
    return this.#cache.get(key);
  }

  #map(input: Value, change: (row: Float32Array, r: number) => Float32Array): Known {
    return this.#value(rowsOf(input).map((row, r) => change(Float32Array.from(row), r)));
  }

  #value(rows: Float32Array[]): Known {
    return { id: this.#id++, columns: rows[0]!.length, rows };
  }
}

function rowsOf(value: Value): Float32Array[] {
  return (value as Known).rows;
}

/** Softmax weights of the chosen experts in float32, summed in their order (or over all experts). */
function shares(logits: Float32Array, experts: Int32Array, shape: RouterShape): Float32Array {
  const most = logits[experts[0]!]!;
  const power = (logit: number): number => exp(f(logit - most));
  const own = Float32Array.from(experts, (expert) => power(logits[expert]!));
  const summed = shape.normalize ? own : logits.map(power);
  const total = summed.reduce((sum, value) => f(sum + value), 0);
  return own.map((value) => f(value / total));
}
