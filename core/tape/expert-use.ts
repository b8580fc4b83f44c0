// Reads what the ops of a mixture count: tokens of each expert, and the router's probabilities.
import { dataView } from "../native/memory.ts";
import type { ExpertUse } from "../plugin/routing.ts";

/** Where one layer counts, as \`Group\` of abi.ts says. */
export interface ExpertCounters {
  readonly experts: number;
  readonly topK: number;
  /** Address of u64 [experts]: tokens sent to each expert so far. */
  readonly counts: number;
  /** Address of f64 [experts]: the router's probability of each expert, summed over tokens. */
  readonly probabilities: number;
}

/** Tokens sent to each expert since the start. */
export function tokensOf({ counts, experts }: ExpertCounters): number[] {
  const view = dataView(counts, experts * 8);
  return Array.from({ length: experts }, (_, e) => Number(view.getBigUint64(e * 8, true)));
}

export function readUse(counters: ExpertCounters): ExpertUse {
  const { experts, topK, probabilities } = counters;
  const tokens = tokensOf(counters);
  const view = dataView(probabilities, experts * 8);
  const all = tokens.reduce((sum, count) => sum + count, 0) / topK;
  const sum = tokens.reduce((a, count, e) => a + count * view.getFloat64(e * 8, true), 0);
  return { tokens, balance: all === 0 ? 0 : (experts * sum) / (all * all) };
}
