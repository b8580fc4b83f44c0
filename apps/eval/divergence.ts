// How far two servers' next-token distributions are apart, by the likeliest tokens of each.
import { authorization, type Target } from "./harness.ts";

/** Log-probabilities (nats) by token name at one position. */
type Top = Readonly<Record<string, number>>;

export interface Divergence {
  /** Positions that were compared. */
  readonly positions: number;
  /** Nats; lower bounds, as tokens outside both lists count as one. */
  readonly kl_mean: number;
  readonly kl_max: number;
  /** Share of positions with the same likeliest token. */
  readonly top1_agreement: number;
  /** Largest difference of the log-probability of the text's own token, nats. */
  readonly logprob_max_difference: number;
  /** Texts that the servers cut into different tokens; not compared. */
  readonly other_tokens: number;
}

/** Alternatives asked for at each position: as many as vLLM gives unless told otherwise. */
const topCount = 20;

interface Scored {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Top | null)[];
}

/**
 * Kullback-Leibler divergence of `q` from `p` with all tokens that are not in both lists as one event:
 * never more than the true one (data processing inequality), and 0 for equal lists.
 */
export function klOfTops(p: Top, q: Top): number {
  let [kl, restP, restQ] = [0, 1, 1];
  for (const [token, logP] of Object.entries(p)) {
    const logQ = q[token];
    if (logQ === undefined) continue;
    kl += Math.exp(logP) * (logP - logQ);
    restP -= Math.exp(logP);
    restQ -= Math.exp(logQ);
  }
  // Less than rounding leaves says nothing.
  const least = 1e-7;
  if (restP > least && restQ > least) kl += restP * Math.log(restP / restQ);
  return Math.max(0, kl);
}

/** Compares `b` with `a` at every token of `texts`. Rejects if a server does not score them. */
export async function divergence(
  a: Target,
  b: Target,
  texts: readonly string[],
): Promise<Divergence> {
  const kls: number[] = [];
  let [same, largest, others] = [0, 0, 0];
  for (const text of texts) {
    const [p, q] = await Promise.all([score(a, text), score(b, text)]);
    if (p.tokens.join(" ") !== q.tokens.join(" ")) {
      others++;
      continue;
    }
    for (const [i, top] of p.top_logprobs.entries()) {
      const other = q.top_logprobs[i];
      if (!top || !other) continue;
      kls.push(klOfTops(top, other));
      if (likeliest(top) === likeliest(other)) same++;
      const own = (p.token_logprobs[i] ?? 0) - (q.token_logprobs[i] ?? 0);
      largest = Math.max(largest, Math.abs(own));
    }
  }
  const positions = kls.length;
  return {
    positions,
    kl_mean: positions === 0 ? 0 : kls.reduce((sum, kl) => sum + kl, 0) / positions,
    kl_max: kls.reduce((most, kl) => Math.max(most, kl), 0),
    top1_agreement: positions === 0 ? 0 : same / positions,
    logprob_max_difference: largest,
    other_tokens: others,
  };
}

function likeliest(top: Top): string | undefined {
  return Object.entries(top).reduce(
    (best, entry) => (entry[1] > best[1] ? entry : best),
    ["", Number.NEGATIVE_INFINITY],
  )[0];
}

/** A text's tokens, without the one that must be generated. */
async function score(target: Target, text: string): Promise<Scored> {
  const { url, model } = target;
  const reply = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...authorization(target) },
    body: JSON.stringify({
      ...{ model, prompt: text, max_tokens: 1, temperature: 0, echo: true, logprobs: topCount },
      return_tokens_as_token_ids: true,
    }),
  });
  if (!reply.ok) throw new Error(`${url}: status ${reply.status}: ${await reply.text()}`);
  const { choices } = (await reply.json()) as { choices: { logprobs: Scored | null }[] };
  const logprobs = choices[0]?.logprobs;
  if (!logprobs) throw new Error(`${url} gives no logprobs with echo`);
  return {
    tokens: logprobs.tokens.slice(0, -1),
    token_logprobs: logprobs.token_logprobs.slice(0, -1),
    top_logprobs: logprobs.top_logprobs.slice(0, -1),
  };
}
