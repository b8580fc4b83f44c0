// The Router interface: chooses the experts of a mixture-of-experts layer, token by token.
import type { Recorder, Value } from "./architecture.ts";

export interface RouterShape {
  readonly experts: number;
  /** Experts chosen for each token, 1..experts. */
  readonly topK: number;
  /** Weights sum to one over the chosen experts (softmax over their logits). */
  readonly normalize: boolean;
  /** Fixed targets of an identity router. */
  readonly targets?: readonly number[];
}

/** The experts of one token, best first, and their weights. */
export interface Routing {
  readonly experts: Int32Array;
  readonly weights: Float32Array;
}

export interface Router {
  readonly name: string;
  /**
   * Records the op that routes `logits` [rows, experts]; returns a routing value for
   * `recorder.experts`. Left out: the engine calls `route` for each token (slower).
   */
  record?(recorder: Recorder, logits: Value, shape: RouterShape): Value;
  /** The reference: one token's logits (float32, length experts) to its routing. Ties go to the lowest index. */
  route(logits: Float32Array, shape: RouterShape): Routing;
}
