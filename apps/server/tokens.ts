// Tokens as the API shows them: their text, bytes and log-probabilities.
import type { ScoredToken, Tokenizer } from "../../core/index.ts";

const decoder = new TextDecoder();

/** Text of one token; bytes that are no whole character become U+FFFD. */
export function pieceText(tokenizer: Tokenizer, token: number): string {
  return decoder.decode(tokenizer.bytes(token));
}

/** JSON has no -Infinity; OpenAI shows -9999 for what has no probability at all. */
export function finiteLogprob(logprob: number): number {
  return Math.max(logprob, -9999);
}

/** `{ id, token, bytes, logprob }`, the common part of all dialects. */
export function tokenLogprob(tokenizer: Tokenizer, token: number, logprob: number) {
  return {
    id: token,
    token: pieceText(tokenizer, token),
    bytes: [...tokenizer.bytes(token)],
    logprob: finiteLogprob(logprob),
  };
}

/** llama.cpp's entry of one generated token, before or after the sampling chain. */
export function tokenProbabilities(tokenizer: Tokenizer, score: ScoredToken, post: boolean) {
  if (!post) {
    return {
      ...tokenLogprob(tokenizer, score.token, score.logprob),
      top_logprobs: score.top.map((t) => tokenLogprob(tokenizer, t.token, t.logprob)),
    };
  }
  const entry = (token: number, logprob: number) => {
    const { logprob: _, ...rest } = tokenLogprob(tokenizer, token, logprob);
    return { ...rest, prob: Math.exp(logprob) };
  };
  return {
    ...entry(score.token, score.logprob),
    top_probs: score.top.map((t) => entry(t.token, t.logprob)).filter((t) => t.prob > 0),
  };
}

/** OpenAI's entry of one chat token. */
export function chatLogprob(tokenizer: Tokenizer, score: ScoredToken) {
  const { id: _, ...own } = tokenLogprob(tokenizer, score.token, score.logprob);
  return {
    ...own,
    top_logprobs: score.top.map((t) => {
      const { id: _, ...rest } = tokenLogprob(tokenizer, t.token, t.logprob);
      return rest;
    }),
  };
}
