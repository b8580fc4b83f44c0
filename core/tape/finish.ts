// What is left to do once a tape is recorded: runs of native ops, buffers' lifetimes, unread results.
import type { RecordedOp } from "./builder.ts";
import type { ActivationBuffer } from "./plan.ts";

/** A run of native ops, and the work that TypeScript does after it. */
export interface Segment {
  readonly first: number;
  readonly count: number;
  readonly script?: RecordedOp["script"];
}

/** Cuts ops at those that TypeScript does. */
export function segmentsOf(ops: readonly RecordedOp[]): Segment[] {
  const segments: Segment[] = [];
  let first = 0;
  ops.forEach((op, i) => {
    if (!op.script) return;
    segments.push({ first, count: i - first, script: op.script });
    first = i + 1;
  });
  segments.push({ first, count: ops.length - first });
  return segments;
}

/** A norm whose float32 result nobody reads, and which is not `kept`, writes its int8 twin only. */
export function finishNorms(ops: readonly RecordedOp[], kept: ActivationBuffer): void {
  const read = new Set<ActivationBuffer>([kept]);
  for (const op of ops) for (const buffer of op.reads) read.add(buffer);
  for (const op of ops) {
    const out = op.args.out;
    if (op.name !== "norm" || out === undefined || typeof out === "number") continue;
    if (read.has(out.buffer)) continue;
    op.args.out = 0;
    op.writes.delete(out.buffer);
  }
}

/** First and last op that touches each buffer; heads start at op `headStart`, `kept` stays. */
export function setLifetimes(
  ops: readonly RecordedOp[],
  headStart: number,
  kept: ActivationBuffer,
): void {
  ops.forEach((op, i) => {
    for (const buffer of [...op.reads, ...op.writes]) {
      if (buffer.first < 0) buffer.first = i;
      buffer.last = Math.max(buffer.last, i);
    }
  });
  // What the heads write is read after the step.
  for (const op of ops.slice(headStart)) for (const buffer of op.writes) buffer.last = ops.length;
  kept.last = ops.length;
}
