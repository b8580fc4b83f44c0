// The head of the tape: full logits, or only the largest ones by way of a coarse plane, exactly.
import type { Model } from "../model.ts";
import { layouts } from "../native/abi.ts";
import type { Host, Pool } from "../native/host.ts";
import type { NativeEntry } from "../native/library.ts";
import { addressOf } from "../native/memory.ts";
import { writeStruct } from "../native/struct.ts";
import type { Activation, TapeBuilder } from "./builder.ts";
import type { KernelTable } from "./kernels.ts";
import type { PackedLinear } from "./packed.ts";
import { blockRows } from "./parts.ts";
import type { ActivationBuffer } from "./plan.ts";
import type { WeightPacker } from "./weights.ts";

/** Largest logits that the screened head gives for a row at most. */
export const screenLimit = 64;
/** Bytes of head weights from which screening pays: below, they are read in no time. */
const screenBytes = 16 << 20;

/** When to screen: where it pays, or always or never (for tests). */
export type HeadMode = "auto" | "full" | "screen";

const steps = [
  "head_prepare",
  "head_screen",
  "head_threshold",
  "head_rescore",
  "head_top",
] as const;

/** Where the screened head puts each logit row's largest: u32 and f32 [logit_rows][stride]. */
export interface ScreenedHead {
  readonly ids: ActivationBuffer;
  readonly values: ActivationBuffer;
  /** Index of its first op on the tape. */
  readonly first: number;
  /** Makes a part of the plane; true while there is more to do. The head runs once it is whole. */
  readonly prepare: () => boolean;
}

/** Calls of `prepare` that make a plane which is made beside the first steps: tens of milliseconds each. */
const slices = 8;

/** What recording a head needs. */
export interface HeadContext {
  readonly model: Model;
  readonly tape: TapeBuilder;
  readonly weights: WeightPacker;
  readonly kernels: KernelTable;
  readonly host: Host;
  readonly pool: Pool;
  readonly maxLogitRows: number;
  readonly mode: HeadMode;
}

/**
 * Records the five ops of the screened head (see abi.args.Head) on the input of the full one, and
 * leaves it to the caller when its plane is made; undefined where it does not pay or no library has it.
 */
export function recordScreen(
  context: HeadContext,
  x: Activation,
  packed: PackedLinear,
  multiplier: number,
): ScreenedHead | undefined {
  const { tape, weights, kernels, host, mode } = context;
  const { format } = packed.entry;
  const make = ["head_columns", "head_pack"].map((op) => kernels.find(op, format));
  const ops = steps.map((op) => kernels.find(op, format) ?? kernels.find(op));
  const pays = mode === "screen" || (mode === "auto" && packed.bytes >= screenBytes);
  if (!pays || packed.bias !== 0 || multiplier <= 0) return undefined;
  const [columns, pack] = make;
  const screen = ops[1];
  if (!columns || !pack || !screen || ops.includes(undefined)) return undefined;
  const plane = weights.allocate(host.packedBytes(columns, packed.n, packed.k));
  const shape = { weight: packed.address, plane, n: packed.n, k: packed.k };
  const prepare = planeMaker(context, columns, pack, shape, packed.bytes);
  const rows = context.maxLogitRows;
  const [ids, values] = [tape.buffer(screenLimit * 4, rows), tape.buffer(screenLimit * 4, rows)];
  const work = tape.buffer(host.packedBytes(screen, packed.n, packed.k), rows);
  const first = tape.ops.length;
  ops.forEach((entry, i) => {
    const op = tape.push(
      steps[i] as string,
      "Head",
      "largest logits",
      {
        ...shape,
        x: x.ref,
        work: { buffer: work, offset: 0 },
        ids: { buffer: ids, offset: 0 },
        values: { buffer: values, offset: 0 },
        xStride: x.stride,
        top: screenLimit,
        multiplier,
      },
      entry,
    );
    op.reads.add(x.ref.buffer).add(work);
    op.writes.add(work).add(ids).add(values);
  });
  return { ids, values, first, prepare };
}

type PlaneShape = Readonly<Record<"weight" | "plane" | "n" | "k", number>>;

function planeMaker(
  context: HeadContext,
  columns: NativeEntry,
  pack: NativeEntry,
  shape: PlaneShape,
  bytes: number,
): () => boolean {
  const all = Math.ceil(shape.n / blockRows);
  const slice = Math.ceil(all / slices);
  let done = 0;
  return () => {
    if (done === all) return false;
    if (done === 0) runOnce(context, columns, shape);
    const blocks = Math.min(slice, all - done);
    runOnce(context, pack, { ...shape, firstBlock: done, blocks });
    done += blocks;
    if (done < all) return true;
    // Rows of a mapped file: from here on few of them are read.
    context.host.release(shape.weight, bytes);
    return false;
  };
}

/** Runs an op that makes the plane, on all threads. */
function runOnce(context: HeadContext, entry: NativeEntry, args: Record<string, number>): void {
  const { size, fields } = layouts.Op;
  const { run, units, grain } = entry;
  const op = new DataView(new ArrayBuffer(size));
  writeStruct(op, 0, layouts.Op, { run, units, grain, tag: 0 });
  writeStruct(op, fields.args.offset, layouts.Head, args);
  const step = new DataView(new ArrayBuffer(layouts.Step.size));
  writeStruct(step, 0, layouts.Step, {});
  context.host.run(context.pool, addressOf(op), 1, addressOf(step));
}
