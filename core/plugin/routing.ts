// What a router is told and what it answers.

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
