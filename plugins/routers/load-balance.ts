// How evenly a router spreads its tokens, as the auxiliary loss of training measures it.
import { exp } from "../../core/index.ts";

/**
 * Load-balancing loss of the Switch Transformer (Fedus et al., 2021): E * sum over the experts of
 * (fraction of tokens sent to it) * (mean softmax probability of it). k for an even load of k experts
 * a token, up to E when one expert takes all. `logits` and `chosen` have one entry a token.
 */
export function loadBalance(
  logits: readonly Float32Array[],
  chosen: readonly Int32Array[],
  experts: number,
): number {
  const sent = new Float64Array(experts);
  const probability = new Float64Array(experts);
  for (const [token, row] of logits.entries()) {
    for (const expert of chosen[token]!) sent[expert]! += 1 / logits.length;
    const max = row.reduce((a, b) => Math.max(a, b), -Infinity);
    let sum = 0;
    for (const logit of row) sum += exp(logit - max);
    for (const [expert, logit] of row.entries()) {
      probability[expert]! += exp(logit - max) / sum / logits.length;
    }
  }
  return experts * sent.reduce((total, share, expert) => total + share * probability[expert]!, 0);
}
