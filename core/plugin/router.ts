// The Router interface: chooses the experts of a mixture-of-experts layer, token by token.
import type { Recorder, Value } from "./architecture.ts";
import type { RouterShape, Routing } from "./routing.ts";

export type { ExpertUse, RouterShape, Routing } from "./routing.ts";

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
