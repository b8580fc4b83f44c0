// Do many requests at once succeed, and does each get the answer that it gets alone?
import { type Check, requestFailed, type Verdict } from "../check.ts";
import { commonLength } from "./prefix.ts";

const maxTokens = 32;
/** Characters from its beginning that two different answers hardly share by chance. */
const telling = 24;

export const concurrency: Check = {
  name: "concurrency",
  title: "requests at the same time get their own answers",
  async run({ target, prompts, thresholds, progress }): Promise<Verdict> {
    const list = prompts.openings(thresholds.concurrency);
    const solo: string[] = [];
    for (const prompt of list) {
      progress(`alone: ${solo.length + 1} of ${list.length}`);
      const answer = await target.complete(prompt, { maxTokens });
      if (answer.status !== 200) {
        return requestFailed("a request alone", answer.status, answer.error);
      }
      solo.push(answer.text);
    }
    progress(`together: ${list.length}`);
    const together = await Promise.all(list.map((p) => target.complete(p, { maxTokens })));
    const good = together.filter((answer) => answer.status === 200).length;
    const equal = together.filter((answer, i) => answer.text === solo[i]).length;
    const rate = good / list.length;
    const figures = {
      requests: list.length,
      concurrent_success_rate: rate,
      equal_answers: equal / list.length,
    };
    const swapped = together.findIndex((answer, i) => foreign(answer.text, i, solo));
    if (swapped >= 0) {
      const from = solo.findIndex(
        (_, j) => j !== swapped && like(together[swapped]!.text, solo[j]!),
      );
      const reason = `request ${swapped + 1} got the answer of request ${from + 1}: cross-talk`;
      return { passed: false, reason, figures };
    }
    if (rate < thresholds.minSuccess) {
      const failed = together.find((answer) => answer.status !== 200)!;
      const { reason } = requestFailed("one of them", failed.status, failed.error);
      return { passed: false, reason: `${good} of ${list.length} succeeded; ${reason}`, figures };
    }
    const passed = equal / list.length >= thresholds.minEqual;
    const seen = `${equal} of ${list.length} answers equal those given alone`;
    if (passed) return { passed, reason: seen, figures };
    const i = together.findIndex((answer, index) => answer.text !== solo[index]);
    const where = commonLength(together[i]!.text, solo[i]!);
    const reason = `${seen}; one differs after ${where} characters: results depend on the batch`;
    return { passed, reason, figures };
  },
};

function like(a: string, b: string): boolean {
  return a === b ? a.length > 0 : commonLength(a, b) >= telling;
}

/** Whether an answer is that of another request rather than its own. */
function foreign(text: string, i: number, solo: readonly string[]): boolean {
  if (text === solo[i]) return false;
  const own = commonLength(text, solo[i]!);
  return solo.some((other, j) => j !== i && like(text, other) && commonLength(text, other) > own);
}
