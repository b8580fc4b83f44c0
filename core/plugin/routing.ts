// What a router is told and what it answers.

export interface RouterShape {
  readonly experts: number;
  /** Experts chosen for each token, 1..experts. */
  readonly topK: number;
  /** Weights sum to one over the chosen experts (softmax over their logits). */
  readonly normalize: boolean;
  /** Added to the scores where experts are chosen, not in their weights: float32 [experts]. */
  readonly bias?: Float32Array;
  /** Groups of equal size, of which a token's experts come from the `groupsUsed` best. */
  readonly groups?: number;
  readonly groupsUsed?: number;
  /** Factor of the weights, default 1. */
  readonly scale?: number;
  /** Fixed targets of an identity router. */
  readonly targets?: readonly number[];
}

/** What one layer's experts got to do since the start. */
export interface ExpertUse {
  /** Tokens sent to each expert. */
  readonly tokens: readonly number[];
  /**
   * Load balance as the Switch Transformer's auxiliary loss has it (Fedus et al., 2021): experts *
   * sum of (tokens sent to an expert / tokens) * (its mean router probability). k where k experts a
   * token are evenly used, up to the number of experts where one gets everything. 0 before any token.
   */
  readonly balance: number;
}

/** The experts of one token, best first, and their weights. */
export interface Routing {
  readonly experts: Int32Array;
  readonly weights: Float32Array;
}
