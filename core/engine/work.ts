// The rows that one sequence has in a step, and which of their logits it needs.
import type { StepSequence } from "../tape/tape.ts";
import type { Sequence } from "./sequence.ts";

/** Rows of one sequence in the coming step: tokens[computed .. computed + rows). */
export interface Work {
  readonly sequence: Sequence;
  readonly rows: number;
  /** Proposed tokens after the sequence's own (speculation), computed along. */
  readonly draft: readonly number[];
}

/** Whether the sequence wants hidden states and no logits. */
export function embeds(item: Work): boolean {
  return item.sequence.request.embedding !== undefined;
}

/** How many rows of the step the sequence looks at. */
export function logitCount(item: Work): number {
  return wantedLogits(item).length;
}

/** Rows (from the first of this step) whose logits the sequence needs. */
export function wantedLogits(item: Work): readonly number[] {
  const { sequence, rows, draft } = item;
  const total = rows + draft.length;
  const scored = sequence.readsPrompt && !sequence.promptDone;
  if (scored) return Array.from({ length: total }, (_, i) => i);
  const first = sequence.computed + rows === sequence.tokens.length ? rows - 1 : total;
  return Array.from({ length: total - first }, (_, i) => first + i);
}

/** @param mask tokens that its largest logits are taken from; default: all */
export function stepSequence(item: Work, mask?: Uint32Array): StepSequence {
  const { sequence, rows, draft } = item;
  const first = sequence.computed;
  return {
    tokens: [...sequence.tokens.slice(first, first + rows), ...draft],
    position: first,
    pages: sequence.pages,
    logits: wantedLogits(item),
    ...(mask && { mask }),
  };
}
