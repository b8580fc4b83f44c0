// The attention verbs of the recorder: rotary embedding, storing keys and values, attending.
import { WrinkleFreeError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { Host } from "../native/host.ts";
import { kvLayerBytes } from "../native/kv.ts";
import type { Recorder, Value } from "../plugin/architecture.ts";
import type { TapeBuilder } from "./builder.ts";
import type { KernelTable } from "./kernels.ts";
import type { ActivationBuffer } from "./plan.ts";
import type { WeightPacker } from "./weights.ts";

export type RopeOptions = Parameters<Recorder["rope"]>[2];

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

/** Rows of one step whose long contexts are split over threads. */
const splitRows = 16;
/** Positions of one partial result, and the most bytes that partial results take. */
const splitPositions = 128;
const partialLimit = 32 << 20;
/** Float32 values beside a head's accumulator in a partial result. */
const partialHeader = 16;

/** What the attention verbs need of the recorder. */
export interface AttentionParts {
  readonly tape: TapeBuilder;
  readonly model: Model;
  readonly weights: WeightPacker;
  readonly kernels: KernelTable;
  readonly host: Host;
  readonly limits: TapeLimits;
}

export class AttentionRecorder {
  readonly #tape: TapeBuilder;
  readonly #model: Model;
  readonly #weights: WeightPacker;
  readonly #kernels: KernelTable;
  readonly #host: Host;
  readonly #limits: TapeLimits;
  readonly #ropeTables = new Map<string, number>();

  constructor(parts: AttentionParts) {
    this.#tape = parts.tape;
    this.#model = parts.model;
    this.#weights = parts.weights;
    this.#kernels = parts.kernels;
    this.#host = parts.host;
    this.#limits = parts.limits;
  }

  rope(q: Value, k: Value, options: RopeOptions): void {
    const { headDim, ropeDimensions } = this.#model.hyperparameters;
    const [a, b] = [this.#tape.own(q), this.#tape.own(k)];
    this.#tape.emit("rope", "Rope", options.kind, [a, b], undefined, {
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
    for (const value of [a, b]) value.quantized.clear();
  }

  attend(q: Value, k: Value, v: Value, options: { layer: number; scale?: number }): Value {
    const [qa, ka, va] = [this.#tape.own(q), this.#tape.own(k), this.#tape.own(v)];
    const { heads, kvHeads, headDim } = this.#model.hyperparameters;
    if (qa.columns !== heads * headDim || ka.columns !== kvHeads * headDim) {
      throw new WrinkleFreeError(
        "bad_file",
        `${this.#model.path}: layer ${options.layer}: q and k have ${qa.columns} and ${ka.columns} ` +
          `columns, the heads need ${heads * headDim} and ${kvHeads * headDim}`,
        { file: this.#model.path, tensor: `blk.${options.layer}.attn_q.weight` },
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
    this.#tape.emit("store", "Store", `layer ${options.layer}`, [ka, va], undefined, {
      ...place,
      k: ka.ref,
      v: va.ref,
      kStride: ka.stride,
      vStride: va.stride,
    });
    const out = this.#tape.activation(heads * headDim);
    const partials = this.#attentionPartials(heads, headDim);
    const combine = this.#kernels.find("attend_combine");
    const args = {
      ...place,
      q: qa.ref,
      out: out.ref,
      partials: { buffer: partials, offset: 0 },
      partialsBytes: partials.bytesPerRow,
      qStride: qa.stride,
      outStride: out.stride,
      heads,
      scale: options.scale ?? 1 / Math.sqrt(headDim),
      combined: combine ? 1 : 0,
    };
    const label = `layer ${options.layer}`;
    const attended = this.#tape.emit("attend", "Attend", label, [qa], out, args);
    attended.producer.writes.add(partials);
    if (!combine) return attended;
    const combined = this.#tape.emit("attend_combine", "Attend", label, [], out, args);
    combined.producer.reads.add(partials);
    return combined;
  }

  /** Scratch for splitting one row's long context over threads; shared by all layers. */
  #partials: ActivationBuffer | undefined;
  #attentionPartials(heads: number, headDim: number): ActivationBuffer {
    if (!this.#partials) {
      const blocks = Math.ceil(this.#limits.contextLength / splitPositions);
      const rows = Math.min(this.#limits.maxRows, splitRows);
      const bytes = rows * heads * blocks * (roundUp(headDim, 16) + partialHeader) * 4;
      this.#partials = this.#tape.buffer(Math.min(bytes, partialLimit), 1);
    }
    return this.#partials;
  }

  #ropeTable(factors: string | Float32Array | undefined, magnitude: number): number {
    const divisors = typeof factors === "string" ? this.#model.floats(factors) : factors;
    const key = `${divisors ?? ""}:${magnitude}`;
    const known = this.#ropeTables.get(key);
    if (known !== undefined) return known;
    const { ropeDimensions, ropeTheta } = this.#model.hyperparameters;
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
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
