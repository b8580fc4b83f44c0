// Collects recorded ops, their activation buffers and values: the part of recording that no verb owns.
import { assert } from "../errors.ts";
import type { NativeEntry } from "../native/library.ts";
import type { Value } from "../plugin/architecture.ts";
import type { KernelTable } from "./kernels.ts";
import { type ActivationBuffer, newBuffer, type Ref } from "./plan.ts";

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
  /** Done in TypeScript, between two runs of native ops: gets the arena's address and the rows. */
  readonly script?: (arena: number, rows: number) => void;
}

/** Int8 rows of a value with their scales. */
export interface Quantized {
  readonly q: Ref;
  readonly scale: Ref;
  readonly stride: number;
}

/** The recorder's own view of a Value. */
export interface Activation extends Value {
  readonly ref: Ref;
  /** Elements between rows. */
  readonly stride: number;
  /** The op that wrote it. */
  readonly producer: RecordedOp;
  /** Its int8 twins by quantization block (0 = the whole row), made when a linear wants one. */
  readonly quantized: Map<number, Quantized>;
  /** Of a routing: where expert ids u32 [rows][topK] and weights f32 [rows][topK] are, and what of. */
  readonly routing?: {
    readonly ids: Ref;
    readonly weights: Ref;
    readonly topK: number;
    readonly logits: Activation;
  };
}

/** An activation before the op that writes it is recorded. */
export type NewActivation = Omit<Activation, "producer">;

export class TapeBuilder {
  readonly ops: RecordedOp[] = [];
  readonly buffers: ActivationBuffer[] = [];
  readonly #kernels: KernelTable;
  readonly #maxRows: number;
  #nextId = 0;

  constructor(kernels: KernelTable, maxRows: number) {
    this.#kernels = kernels;
    this.#maxRows = maxRows;
  }

  /** The recorder's own view of a value that it gave out. */
  own(value: Value): Activation {
    assert("ref" in value, "values come from this recorder");
    return value as Activation;
  }

  buffer(bytesPerRow: number, rows = this.#maxRows): ActivationBuffer {
    const buffer = newBuffer(bytesPerRow, rows);
    this.buffers.push(buffer);
    return buffer;
  }

  activation(columns: number, stride = columns, rows = this.#maxRows): NewActivation {
    const buffer = this.buffer(stride * 4, rows);
    const ref = { buffer, offset: 0 };
    return { id: this.#nextId++, columns, ref, stride, quantized: new Map() };
  }

  /** Some columns of a value as a value of their own. */
  slice(whole: Activation, column: number, columns: number): Activation {
    const { buffer, offset } = whole.ref;
    const ref = { buffer, offset: offset + column * 4 };
    const { stride, producer } = whole;
    return { id: this.#nextId++, columns, ref, stride, producer, quantized: new Map() };
  }

  /** Records an op that reads `inputs` and writes `out` (or its inputs, in place). */
  emit(
    name: string,
    struct: string,
    label: string,
    inputs: readonly Activation[],
    out: NewActivation | undefined,
    args: OpArguments,
    entry?: NativeEntry,
  ): Activation {
    const op = this.push(name, struct, label, args, entry);
    for (const input of inputs) op.reads.add(input.ref.buffer);
    if (out) op.writes.add(out.ref.buffer);
    return { ...(out ?? (inputs[0] as Activation)), producer: op };
  }

  /** Records work that TypeScript does itself. */
  script(label: string, run: (arena: number, rows: number) => void): RecordedOp {
    const entry = { op: "script", format: "typescript", run: 0, units: 0 } as NativeEntry;
    const op: RecordedOp = {
      name: "script",
      struct: "",
      entry,
      args: {},
      label,
      reads: new Set(),
      writes: new Set(),
      script: run,
    };
    this.ops.push(op);
    return op;
  }

  push(
    name: string,
    struct: string,
    label: string,
    args: OpArguments,
    entry: NativeEntry = this.#kernels.get(name),
  ): RecordedOp {
    const op = { name, struct, entry, args, label, reads: new Set<ActivationBuffer>() };
    const recorded: RecordedOp = { ...op, writes: new Set() };
    this.ops.push(recorded);
    return recorded;
  }
}
