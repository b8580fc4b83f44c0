// Two servers on the same examples: differences of scores and log-likelihoods, and agreement.
import type { Sample } from "./harness.ts";
import { type Interval, meanOf, normal } from "./statistics.ts";

export interface TaskComparison {
  readonly task: string;
  /** Examples that both have. */
  readonly count: number;
  /** Share of examples with the same choice, or the same text. Undefined where nothing is chosen. */
  readonly agreement?: number;
  /** Log-likelihoods of the second less the first, nats; over all requests. */
  readonly loglikelihood?: { readonly mean: number; readonly largest: number };
  /** Scores of the second less the first, by metric, with the 95 % interval of paired examples. */
  readonly scores: Readonly<Record<string, { difference: number; interval: Interval }>>;
}

/** One entry a task, in the order of the first's samples. */
export function compareSamples(
  first: readonly Sample[],
  second: readonly Sample[],
): TaskComparison[] {
  const key = ({ task, id }: Sample): string => `${task}/${id}`;
  const others = new Map(second.map((sample) => [key(sample), sample]));
  const tasks = Map.groupBy(first, ({ task }) => task);
  return [...tasks].map(([task, samples]) => {
    const pairs = samples.flatMap((sample) => {
      const other = others.get(key(sample));
      return other ? [[sample, other] as const] : [];
    });
    return { task, ...comparePairs(pairs) };
  });
}

type Pair = readonly [Sample, Sample];

function comparePairs(pairs: readonly Pair[]): Omit<TaskComparison, "task"> {
  const chosen = pairs.filter(([a]) => a.logprobs.length > 1 || a.texts.length > 0);
  const same = chosen.filter(([a, b]) => choice(a) === choice(b)).length;
  const differences = pairs.flatMap(([a, b]) => a.logprobs.map((x, i) => (b.logprobs[i] ?? x) - x));
  return {
    count: pairs.length,
    ...(chosen.length > 0 && { agreement: same / chosen.length }),
    ...(differences.length > 0 && {
      loglikelihood: {
        mean: meanOf(differences).mean,
        largest: differences.reduce((most, x) => Math.max(most, Math.abs(x)), 0),
      },
    }),
    scores: scoreDifferences(pairs),
  };
}

/** The likeliest request's number, or what was generated. */
function choice({ logprobs, texts }: Sample): string {
  if (texts.length > 0) return texts.join("\0");
  return String(logprobs.indexOf(logprobs.reduce((most, x) => Math.max(most, x))));
}

function scoreDifferences(pairs: readonly Pair[]): TaskComparison["scores"] {
  const names = Object.keys(pairs[0]?.[0].scores ?? {});
  return Object.fromEntries(
    names.map((name) => {
      const differences = pairs.map(([a, b]) => (b.scores[name] ?? 0) - (a.scores[name] ?? 0));
      const { mean, stderr } = meanOf(differences);
      return [name, { difference: mean, interval: normal(mean, stderr) }];
    }),
  );
}

/** Texts that were scored, each once: contexts with their continuations. At most `limit`. */
export function scoredTexts(samples: readonly Sample[], limit: number): string[] {
  const texts = samples
    .filter(({ logprobs }) => logprobs.length > 0)
    .flatMap(({ requests }) =>
      requests.map(([first, second]) => first + (typeof second === "string" ? second : "")),
    );
  return [...new Set(texts)].slice(0, limit);
}
