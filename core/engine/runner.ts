// What the engine runs its steps on.
import type { ExpertUse } from "../plugin/routing.ts";
import type { StepPlan } from "../tape/tape.ts";

/** What the engine runs steps on: the tape of a model, or anything that behaves like one. */
export interface StepRunner {
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly pages: number;
  readonly pagePositions: number;
  /** Largest logits of a row that `run` can give without all others; 0 = only all. */
  readonly topLimit: number;
  run(plan: StepPlan, top: number | "all"): void;
  /** After a run with a number: that many largest logits of the i-th wanted row. */
  largest(index: number): { readonly ids: Uint32Array; readonly logits: Float32Array };
  /** float32 [vocabulary] of the i-th wanted row, valid until the next run. */
  logits(index: number): Float32Array;
  /** float32 [hidden] of the i-th wanted row after the final norm, valid until the next run. */
  hidden(index: number): Float32Array;
  copyPage(to: number, from: number): void;
  /** The bytes of a page, to save and restore it. */
  pageBytes(page: number): Uint8Array;
  /** Identifies the weights, so that saved pages meet their own model only. */
  readonly fingerprint: string;
  /** What experts got since the start, layer by layer; empty for a dense model. */
  expertUse(): ExpertUse[];
}
