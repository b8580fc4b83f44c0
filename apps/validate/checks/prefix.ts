// Does a shared prefix come from the cache, and is what comes from it the same text?
import { type Check, type Context, requestFailed, type Verdict } from "../check.ts";

/** Prose of at least the wanted number of tokens, measured by the server's own count. */
async function longPrefix({ target, prompts, thresholds }: Context): Promise<string> {
  const sample = await target.complete(prompts.prose(100), { maxTokens: 1 });
  const perWord = Math.max(0.5, (sample.promptTokens ?? 130) / 100);
  return prompts.prose(Math.ceil((thresholds.prefixTokens / perWord) * 1.05));
}

export const prefixReuse: Check = {
  name: "prefix_reuse",
  title: "a shared prefix is computed once",
  async run(context): Promise<Verdict> {
    const { target, prompts, thresholds } = context;
    const prefix = await longPrefix(context);
    const ask = () => target.complete(`${prefix} ${prompts.prose(12)}`, { maxTokens: 1 });
    const first = await ask();
    if (first.status !== 200) return requestFailed("the first request", first.status, first.error);
    const second = await ask();
    if (second.status !== 200) {
      return requestFailed("the second request", second.status, second.error);
    }
    const speedup = first.ms / second.ms;
    const tokens = second.promptTokens ?? thresholds.prefixTokens;
    const cached = second.cachedTokens;
    const figures = {
      prompt_tokens: second.promptTokens ?? null,
      cached_tokens: cached ?? null,
      first_request_latency_ms: round(first.ms),
      second_request_latency_ms: round(second.ms),
      prefix_speedup: round(speedup),
    };
    if (tokens < thresholds.prefixTokens) {
      const reason = `the prompt of ${thresholds.prefixTokens} tokens was counted as ${tokens}: it was cut`;
      return { passed: false, reason, figures };
    }
    if (cached === undefined) {
      const passed = speedup >= thresholds.minSpeedup;
      const judged = `the server counts no cached tokens; judged by time: ${speedup.toFixed(1)} times as fast`;
      return { passed, reason: passed ? judged : `${judged}, too little for a cache`, figures };
    }
    const passed = cached >= thresholds.minCached * thresholds.prefixTokens;
    const seen = `${cached} of ${tokens} prompt tokens came from the cache`;
    return {
      passed,
      reason: passed ? seen : `${seen}: caching is off or finds no prefix`,
      figures,
    };
  },
};

export const cachedAnswers: Check = {
  name: "cached_answers",
  title: "an answer from the cache is the same text",
  async run(context): Promise<Verdict> {
    const { target, prompts } = context;
    const prefix = await longPrefix(context);
    let compared = 0;
    for (let i = 0; i < 3; i++) {
      const prompt = `${prefix} ${prompts.prose(9 + i)} Once upon a time`;
      // The first is found in part, the second as a whole, the third is asked to compute anew.
      const part = await target.complete(prompt, { maxTokens: 32 });
      const whole = await target.complete(prompt, { maxTokens: 32 });
      const extra = { cache_prompt: false };
      const anew = await target.complete(prompt, { maxTokens: 32, extra });
      for (const answer of [part, whole]) {
        if (answer.status !== 200) return requestFailed("a request", answer.status, answer.error);
      }
      const others = [whole, ...(anew.status === 200 && anew.cachedTokens === 0 ? [anew] : [])];
      for (const other of others) {
        compared++;
        if (other.text === part.text) continue;
        const where = commonLength(other.text, part.text);
        const reason = `greedy answers to one prompt differ after ${where} characters`;
        return { passed: false, reason, figures: { compared } };
      }
    }
    const reason = `${compared} answers with and without the cache are equal`;
    return { passed: true, reason, figures: { compared } };
  },
};

export function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < Math.min(a.length, b.length) && a[length] === b[length]) length++;
  return length;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
