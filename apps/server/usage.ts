// How long and how many: llama.cpp's timings and OpenAI's usage of finished generations.
import type { Timings } from "../../core/index.ts";
import type { Completion } from "./completion.ts";

const rate = (count: number, ms: number): number => (ms > 0 && count > 0 ? (1000 * count) / ms : 0);
const each = (count: number, ms: number): number => (count > 0 ? ms / count : 0);

/** llama.cpp's timings. The first token comes from the prompt, so the rate is of those after it. */
export function timingsOf(timings: Timings) {
  const { promptTokens, cachedTokens, promptMs, generatedTokens, generatedMs } = timings;
  const speculated = timings.draftTokens
    ? { draft_n: timings.draftTokens, draft_n_accepted: timings.draftAccepted ?? 0 }
    : {};
  return {
    cache_n: cachedTokens,
    prompt_n: promptTokens,
    prompt_ms: promptMs,
    prompt_per_token_ms: each(promptTokens, promptMs),
    prompt_per_second: rate(promptTokens, promptMs),
    predicted_n: generatedTokens,
    predicted_ms: generatedMs,
    predicted_per_token_ms: each(generatedTokens, generatedMs),
    predicted_per_second: rate(generatedTokens - 1, generatedMs),
    ...speculated,
  };
}

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** OpenAI's usage of `n` choices of each prompt, choices of one prompt side by side: it counts once. */
export function usageOf(completions: readonly Completion[], n = 1): Usage {
  let prompt = 0;
  let cached = 0;
  let generated = 0;
  for (const [i, completion] of completions.entries()) {
    generated += completion.timings.generatedTokens;
    if (i % n !== 0) continue;
    prompt += completion.promptTokens;
    cached += completion.timings.cachedTokens;
  }
  return {
    prompt_tokens: prompt,
    completion_tokens: generated,
    total_tokens: prompt + generated,
    prompt_tokens_details: { cached_tokens: cached },
  };
}

/** Fields of a request's log line. */
export function logFields(completions: readonly Completion[], n = 1): Record<string, unknown> {
  const { prompt_tokens, completion_tokens, prompt_tokens_details } = usageOf(completions, n);
  return {
    prompt_tokens,
    cached_tokens: prompt_tokens_details.cached_tokens,
    completion_tokens,
    stop: completions.map((completion) => completion.stopType).join(","),
  };
}
