// Checks a request before the engine takes it in.
import { WrinkleFreeError } from "../errors.ts";
import type { GenerateRequest } from "./protocol.ts";

/** What a request must fit. */
export interface RequestLimits {
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly pages: number;
  readonly pagePositions: number;
}

/** Throws `bad_request` for an empty prompt or a token that is none, `context_exceeded` for a long one. */
export function checkRequest(request: GenerateRequest, limits: RequestLimits): void {
  const { prompt } = request;
  const { embedding, maxTokens, promptLogprobs } = request;
  if (embedding !== undefined && (maxTokens !== 0 || promptLogprobs !== undefined)) {
    throw new WrinkleFreeError("bad_request", "an embedding generates and scores no tokens", {
      field: "embedding",
    });
  }
  if (prompt.length === 0) {
    throw new WrinkleFreeError("bad_request", "the prompt has no tokens", { field: "prompt" });
  }
  for (const token of prompt) {
    if (Number.isInteger(token) && token >= 0 && token < limits.vocabulary) continue;
    throw new WrinkleFreeError(
      "bad_request",
      `token ${token} of the prompt is not in the vocabulary of ${limits.vocabulary}`,
      { field: "prompt" },
    );
  }
  const context = Math.min(limits.contextLength, limits.pages * limits.pagePositions);
  if (prompt.length <= context) return;
  throw new WrinkleFreeError(
    "context_exceeded",
    `request (${prompt.length} tokens) exceeds the available context size (${context} tokens), ` +
      "try increasing it",
    {
      field: "prompt",
      hint: "Shorten the prompt, or start the server with a larger --ctx-size.",
      extra: { n_prompt_tokens: prompt.length, n_ctx: context },
    },
  );
}
