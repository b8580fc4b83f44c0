// Is a prompt past the context refused, and one within it read as a whole?
import { type Check, requestFailed, type Verdict } from "../check.ts";

export const contextLimit: Check = {
  name: "context_limit",
  title: "a prompt past the context is refused, not cut",
  async run({ target, prompts, thresholds, progress }): Promise<Verdict> {
    const limit = thresholds.context ?? (await target.contextLength());
    if (limit === undefined) {
      const reason = "the server does not state its context length: give --context";
      return { passed: false, reason, figures: { context_limit_handled: false } };
    }
    const sample = await target.complete(prompts.prose(100), { maxTokens: 1 });
    if (sample.status !== 200) return requestFailed("a request", sample.status, sample.error);
    const perWord = (sample.promptTokens ?? 130) / 100;
    const words = (tokens: number) => prompts.prose(Math.ceil(tokens / perWord));
    progress(`context of ${limit} tokens`);
    const half = await target.complete(words(limit / 2), { maxTokens: 1 });
    const figures = { context: limit, context_limit_handled: false };
    if (half.status !== 200) {
      return { ...requestFailed("a prompt of half the context", half.status, half.error), figures };
    }
    if (half.promptTokens !== undefined && half.promptTokens < limit * 0.4) {
      const reason = `a prompt of about ${limit / 2} tokens was counted as ${half.promptTokens}: it was cut`;
      return { passed: false, reason, figures };
    }
    const wanted = Math.ceil(limit * 1.15);
    const over = await target.complete(words(wanted), { maxTokens: 1 });
    if (over.status === 200) {
      const counted = over.promptTokens === undefined ? "" : ` and counted as ${over.promptTokens}`;
      const reason = `a prompt of about ${wanted} tokens was answered${counted}: it was cut silently`;
      return { passed: false, reason, figures };
    }
    if (over.status < 400 || over.status >= 500) {
      return { ...requestFailed("a prompt past the context", over.status, over.error), figures };
    }
    if (!/context|too long|exceed|maximum|too many/i.test(over.error ?? "")) {
      const reason = `a prompt past the context was refused (${over.status}) without saying why`;
      return { passed: false, reason, figures };
    }
    return {
      passed: true,
      reason: `about ${wanted} tokens were refused with ${over.status} and a reason`,
      figures: { ...figures, context_limit_handled: true },
    };
  },
};
