// A finished tape: native ops with resolved addresses, the step header, and one call that runs them.
import { assert } from "../errors.ts";
import { layouts } from "../native/abi.ts";
import type { Host, Pool } from "../native/host.ts";
import type { NativeEntry } from "../native/library.ts";
import { addressOf, dataView, floatView, u32View } from "../native/memory.ts";
import { writeStruct } from "../native/struct.ts";
import type { ExpertUse } from "../plugin/routing.ts";
import { NativeArena } from "./arena.ts";
import type { TapeLimits } from "./attention.ts";
import type { RecordedOp } from "./builder.ts";
import { readUse } from "./expert-use.ts";
import { finishNorms, type Segment, segmentsOf, setLifetimes } from "./finish.ts";
import { type ScreenedHead, screenLimit } from "./head.ts";
import { planBuffers, type Ref } from "./plan.ts";
import type { TapeRecorder } from "./recorder.ts";

/** The rows of one step, as the scheduler cut them. */
export interface StepPlan {
  readonly sequences: readonly StepSequence[];
  /** How many of the wanted rows, the first ones, go through the head; default: all. */
  readonly headRows?: number;
}

/** One sequence's rows in a step. */
export interface StepSequence {
  /** Token ids, first one at `position`. */
  readonly tokens: readonly number[];
  readonly position: number;
  /** Page numbers covering positions 0..position + tokens.length - 1. */
  readonly pages: readonly number[];
  /** Rows (from the sequence's first in this step) whose logits are wanted, ascending. */
  readonly logits: readonly number[];
  /**
   * Tokens that may be among the largest logits of its rows: bit i & 31 of word i >> 5. Default: all.
   * Must stay as it is until the step is done.
   */
  readonly mask?: Uint32Array;
}

/** Time one op took, summed over the steps that were timed. */
export interface OpTime {
  readonly name: string;
  readonly label: string;
  readonly nanoseconds: number;
}

const bytesOfTimes = 8;

export class Tape {
  readonly vocabulary: number;
  readonly limits: TapeLimits & { readonly maxSequences: number };
  readonly #ops: readonly RecordedOp[];
  readonly #host: Host;
  readonly #pool: Pool;
  readonly #memory: NativeArena;
  readonly #opsAddress: number;
  /** Runs of native ops, each followed by work that TypeScript does: with the full head, and screened. */
  readonly #full: readonly Segment[];
  readonly #screen: Screen | undefined;
  #prepared = false;
  #top = 0;
  readonly #arena: number;
  readonly #expertCounters: TapeRecorder["expertCounters"];
  readonly #step: number;
  readonly #times: number;
  readonly #stepView: DataView;
  readonly #arrays: Readonly<Record<StepArray, Uint32Array>>;
  readonly #maxPages: number;
  /** Addresses of the logit rows' masks. */
  readonly #masks: DataView;
  readonly #logits: number;
  readonly #logitStride: number;
  readonly #hidden: { readonly address: number; readonly stride: number; readonly size: number };
  /** Whether `run` adds up the time of each op. */
  timed = false;
  /** Bytes of activations. */
  readonly arenaBytes: number;

  constructor(
    recorder: TapeRecorder,
    host: Host,
    pool: Pool,
    limits: TapeLimits & { readonly maxSequences: number },
    pagePositions: number,
  ) {
    this.#ops = recorder.ops;
    this.#host = host;
    this.#memory = new NativeArena(host);
    this.#pool = pool;
    this.limits = limits;
    this.vocabulary = recorder.model.hyperparameters.vocabulary;
    const { hidden } = recorder;
    finishNorms(recorder.ops, hidden.ref.buffer);
    setLifetimes(recorder.ops, recorder.headStart, hidden.ref.buffer);
    this.arenaBytes = planBuffers(recorder.buffers);
    const arena = this.#memory.allocate(this.arenaBytes);
    this.#opsAddress = this.#memory.allocate(recorder.ops.length * layouts.Op.size);
    this.#arena = arena;
    this.#expertCounters = recorder.expertCounters;
    const { headStart, screen } = recorder;
    const end = recorder.ops.length;
    const body = segmentsOf(recorder.ops.slice(0, headStart));
    this.#full = [...body, { first: headStart, count: (screen?.first ?? end) - headStart }];
    this.#screen = screen && {
      segments: [...body, { first: screen.first, count: end - screen.first }],
      ids: arena + screen.ids.offset,
      values: arena + screen.values.offset,
      tops: range(screen.first, end).map((i) => this.#argument(i, "top")),
      masks: range(screen.first, end).map((i) => this.#argument(i, "masks")),
      prepare: screen.prepare,
    };
    this.#encodeOps(arena);
    const masks = this.#memory.allocate(limits.maxLogitRows * 8);
    this.#masks = dataView(masks, limits.maxLogitRows * 8);
    for (const at of this.#screen?.masks ?? [])
      dataView(at, 8).setBigUint64(0, BigInt(masks), true);
    this.#maxPages = Math.ceil(limits.contextLength / pagePositions);
    const sizes: Record<StepArray, number> = {
      tokens: limits.maxRows,
      positions: limits.maxRows,
      rowSequence: limits.maxRows,
      sequenceRows: limits.maxSequences + 1,
      pages: limits.maxSequences * this.#maxPages,
      logitIndex: limits.maxLogitRows,
    };
    this.#step = this.#memory.allocate(layouts.Step.size);
    this.#stepView = dataView(this.#step, layouts.Step.size);
    this.#times = this.#memory.allocate(recorder.ops.length * bytesOfTimes);
    const addresses: Record<string, number> = {};
    const arrays: Record<string, Uint32Array> = {};
    for (const [name, length] of Object.entries(sizes)) {
      addresses[name] = this.#memory.allocate(length * 4);
      arrays[name] = u32View(addresses[name], length);
    }
    this.#arrays = arrays as Record<StepArray, Uint32Array>;
    writeStruct(this.#stepView, 0, layouts.Step, {
      rows: 0,
      sequences: 0,
      logitRows: 0,
      maxPages: this.#maxPages,
      ...addresses,
    });
    const logits = recorder.logitsBuffer;
    this.#logits = arena + logits.offset;
    this.#logitStride = logits.bytesPerRow / 4;
    const address = arena + hidden.ref.buffer.offset + hidden.ref.offset;
    this.#hidden = { address, stride: hidden.stride, size: hidden.columns };
  }

  /** Largest logits of a row that `run` can give without all others; 0 = only all, so far. */
  get topLimit(): number {
    return this.#screen && this.#prepared ? screenLimit : 0;
  }

  /** Makes a part of what the screened head needs; true while there is more to do. */
  prepare(): boolean {
    if (!this.#prepared) this.#prepared = this.#screen?.prepare() !== true;
    return !this.#prepared;
  }

  /** Ops that run `from` run `to` from now on, which gives the same results. */
  exchange(from: NativeEntry, to: NativeEntry): void {
    const { size, fields } = layouts.Op;
    const view = dataView(this.#opsAddress, this.#ops.length * size);
    for (let at = 0; at < view.byteLength; at += size) {
      if (view.getBigUint64(at + fields.run.offset, true) !== BigInt(from.run)) continue;
      view.setBigUint64(at + fields.run.offset, BigInt(to.run), true);
      view.setBigUint64(at + fields.units.offset, BigInt(to.units), true);
      view.setUint32(at + fields.grain.offset, to.grain, true);
    }
  }

  /**
   * Runs one step. Afterwards `logits(i)` is the i-th wanted row, or with `top` (1..topLimit)
   * `largest(i)` has its `top` largest logits, and `hidden(i)` what both are made of. Sizes must
   * be within the limits.
   */
  run(plan: StepPlan, top: number | "all" = "all"): void {
    const { rows, logitRows } = this.#writeStep(plan);
    assert(rows > 0, "a step has rows");
    const view = this.#stepView;
    view.setUint32(layouts.Step.fields.rows.offset, rows, true);
    view.setUint32(layouts.Step.fields.sequences.offset, plan.sequences.length, true);
    view.setUint32(layouts.Step.fields.logitRows.offset, logitRows, true);
    const segments = this.#segments(top);
    for (const segment of segments) {
      const { first, count, script } = segment;
      if (segment === segments.at(-1)) {
        const headRows = plan.headRows ?? logitRows;
        if (headRows === 0) break;
        view.setUint32(layouts.Step.fields.logitRows.offset, headRows, true);
      }
      this.#host.run(
        this.#pool,
        this.#opsAddress + first * layouts.Op.size,
        count,
        this.#step,
        this.timed ? this.#times + first * bytesOfTimes : 0,
      );
      script?.(this.#arena, rows);
    }
  }

  /**
   * The largest logits of the i-th wanted row that its mask lets through, descending, ties to the
   * lower id. Where it lets fewer through, the rest means nothing.
   */
  largest(index: number): { readonly ids: Uint32Array; readonly logits: Float32Array } {
    const screen = this.#screen;
    assert(screen && this.#top > 0, "the last step was run for its largest logits");
    const at = index * this.#top * 4;
    return {
      ids: u32View(screen.ids + at, this.#top),
      logits: floatView(screen.values + at, this.#top),
    };
  }

  /** The i-th wanted row of the last step: float32 [vocabulary], valid until the next step. */
  logits(index: number): Float32Array {
    assert(index >= 0 && index < this.limits.maxLogitRows, "logit row within limits");
    return floatView(this.#logits + index * this.#logitStride * 4, this.vocabulary);
  }

  /** The i-th wanted row after the final norm: float32 [hidden], valid until the next step. */
  hidden(index: number): Float32Array {
    assert(index >= 0 && index < this.limits.maxLogitRows, "wanted row within limits");
    const { address, stride, size } = this.#hidden;
    return floatView(address + index * stride * 4, size);
  }

  /** What experts got since the start, layer by layer; empty for a dense model. */
  expertUse(): ExpertUse[] {
    return this.#expertCounters.map(readUse);
  }

  /** The recorded ops, one line each, with what they read. */
  listing(): string[] {
    return this.#ops.map((op, i) => {
      const format = op.entry.format === "" ? "" : ` ${op.entry.format}`;
      const shape = op.args.n === undefined ? "" : ` [${op.args.n} x ${op.args.k}]`;
      return `${String(i).padStart(4)}  ${op.name}${format}  ${op.label}${shape}`;
    });
  }

  /** Time per op over the steps run with `timed`, in recorded order. */
  times(): OpTime[] {
    const view = dataView(this.#times, this.#ops.length * bytesOfTimes);
    return this.#ops.map((op, i) => ({
      name: op.name,
      label: op.label,
      nanoseconds: Number(view.getBigUint64(i * bytesOfTimes, true)),
    }));
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }

  /** Address of an argument of a head's op. */
  #argument(op: number, name: "top" | "masks"): number {
    const { size, fields } = layouts.Op;
    return this.#opsAddress + op * size + fields.args.offset + layouts.Head.fields[name].offset;
  }

  #segments(top: number | "all"): readonly Segment[] {
    this.#top = top === "all" ? 0 : top;
    if (top === "all") return this.#full;
    const screen = this.#screen;
    assert(screen && top >= 1 && top <= screenLimit, `${top} largest logits within the limit`);
    for (const address of screen.tops) u32View(address, 1)[0] = top;
    return screen.segments;
  }

  #encodeOps(arena: number): void {
    const view = dataView(this.#opsAddress, this.#ops.length * layouts.Op.size);
    const structs = layouts as unknown as Record<string, typeof layouts.Op>;
    this.#ops.forEach((op, i) => {
      if (op.script) return;
      const struct = structs[op.struct];
      assert(struct, `the abi has a struct ${op.struct}`);
      const base = i * layouts.Op.size;
      const { run, units, grain } = op.entry;
      writeStruct(view, base, layouts.Op, { run, units, grain, tag: i });
      const args: Record<string, number> = {};
      for (const [name, value] of Object.entries(op.args)) args[name] = resolve(value, arena);
      writeStruct(view, base + layouts.Op.fields.args.offset, struct, args);
    });
  }

  #writeStep(plan: StepPlan): { rows: number; logitRows: number } {
    const { maxRows, maxLogitRows, maxSequences } = this.limits;
    assert(plan.sequences.length <= maxSequences, "sequences within limits");
    const arrays = this.#arrays;
    let rows = 0;
    let logitRows = 0;
    plan.sequences.forEach((sequence, s) => {
      const count = sequence.tokens.length;
      assert(count > 0 && rows + count <= maxRows, "rows within limits");
      assert(sequence.pages.length <= this.#maxPages, "pages within the context");
      assert(logitRows + sequence.logits.length <= maxLogitRows, "logit rows within limits");
      arrays.sequenceRows[s] = rows;
      arrays.pages.set(sequence.pages, s * this.#maxPages);
      const mask = sequence.mask === undefined ? 0n : BigInt(addressOf(sequence.mask));
      for (const row of sequence.logits) {
        this.#masks.setBigUint64(logitRows * 8, mask, true);
        arrays.logitIndex[logitRows++] = rows + row;
      }
      for (let i = 0; i < count; i++) {
        const token = sequence.tokens[i] as number;
        assert(token >= 0 && token < this.vocabulary, `token ${token} within the vocabulary`);
        arrays.tokens[rows] = token;
        arrays.positions[rows] = sequence.position + i;
        arrays.rowSequence[rows] = s;
        rows++;
      }
    });
    arrays.sequenceRows[plan.sequences.length] = rows;
    return { rows, logitRows };
  }
}

type StepArray = "tokens" | "positions" | "rowSequence" | "sequenceRows" | "pages" | "logitIndex";

function resolve(value: number | Ref, arena: number): number {
  if (typeof value === "number") return value;
  assert(value.buffer.offset >= 0, "every buffer that an op names is planned");
  return arena + value.buffer.offset + value.offset;
}

interface Screen {
  readonly segments: readonly Segment[];
  readonly ids: number;
  readonly values: number;
  /** Addresses of the ops' `top` and `masks` arguments. */
  readonly tops: readonly number[];
  readonly masks: readonly number[];
  readonly prepare: ScreenedHead["prepare"];
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
