// The logprobs object of OpenAI's legacy completions: parallel lists over the tokens.
import type { ScoredToken, Tokenizer } from "../../core/index.ts";
import type { GeneratedToken } from "./completion.ts";
import { finiteLogprob, pieceText } from "./tokens.ts";

export interface LegacyLogprobs {
  tokens: string[];
  /** Null for a prompt's first token, which nothing predicts. */
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[];
  /** UTF-16 units of the text before each token. */
  text_offset: number[];
}

/** How a token is named: by its text, as "token_id:17" (vLLM's), or as "17". */
export type TokenNames = "text" | "token-id" | "digits";

export interface LogprobStyle {
  readonly tokenizer: Tokenizer;
  /** Ids are unique where texts are not. */
  readonly names: TokenNames;
}

export function emptyLogprobs(): LegacyLogprobs {
  return { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
}

/** Two stretches of one text, one after the other. */
export function joinLogprobs(first: LegacyLogprobs, second: LegacyLogprobs): LegacyLogprobs {
  return {
    tokens: [...first.tokens, ...second.tokens],
    token_logprobs: [...first.token_logprobs, ...second.token_logprobs],
    top_logprobs: [...first.top_logprobs, ...second.top_logprobs],
    text_offset: [...first.text_offset, ...second.text_offset],
  };
}

/** The prompt's tokens with their log-probabilities; the first has none. */
export function promptLogprobs(
  style: LogprobStyle,
  prompt: readonly number[],
  scores: readonly (ScoredToken | null)[],
): LegacyLogprobs {
  return collect(
    style,
    prompt.map((token, i) => ({ token, score: scores[i] ?? undefined })),
    0,
  );
}

/** Generated tokens; `offset` is where the first one's text begins. */
export function generatedLogprobs(
  style: LogprobStyle,
  tokens: readonly GeneratedToken[],
  offset: number,
): LegacyLogprobs {
  return collect(style, tokens, offset);
}

function collect(
  style: LogprobStyle,
  tokens: readonly { token: number; score?: ScoredToken }[],
  offset: number,
): LegacyLogprobs {
  const { tokenizer, names } = style;
  const name = (token: number): string => {
    if (names === "text") return pieceText(tokenizer, token);
    return names === "digits" ? String(token) : `token_id:${token}`;
  };
  const result = emptyLogprobs();
  // A character may lie in several tokens: its text comes with the last of them.
  const decoder = new TextDecoder();
  let at = offset;
  for (const { token, score } of tokens) {
    result.tokens.push(name(token));
    result.text_offset.push(at);
    result.token_logprobs.push(score ? finiteLogprob(score.logprob) : null);
    result.top_logprobs.push(score ? topOf(score, name) : null);
    if (!tokenizer.isSpecial(token)) {
      at += decoder.decode(tokenizer.bytes(token), { stream: true }).length;
    }
  }
  return result;
}

/** The most likely tokens by name. The chosen one is always there, as clients look it up. */
function topOf(score: ScoredToken, name: (token: number) => string): Record<string, number> {
  const top: Record<string, number> = {};
  for (const { token, logprob } of score.top) {
    // Of two tokens with the same text the more likely one is shown.
    top[name(token)] ??= finiteLogprob(logprob);
  }
  top[name(score.token)] ??= finiteLogprob(score.logprob);
  return top;
}

/** vLLM's prompt_logprobs: for each prompt token its alternatives by id, with their ranks. */
export function rankedLogprobs(
  tokenizer: Tokenizer,
  scores: readonly (ScoredToken | null)[],
): (Record<string, object> | null)[] {
  const entry = (token: number, logprob: number, rank: number | null): object => ({
    logprob: finiteLogprob(logprob),
    rank,
    decoded_token: pieceText(tokenizer, token),
  });
  return scores.map((score) => {
    if (!score) return null;
    const list: Record<string, object> = {};
    for (const [i, { token, logprob }] of score.top.entries()) {
      list[token] = entry(token, logprob, i + 1);
    }
    // The rank of a token beyond the ones that were asked for is not computed.
    list[score.token] ??= entry(score.token, score.logprob, null);
    return list;
  });
}
