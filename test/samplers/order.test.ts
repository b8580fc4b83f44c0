// The chain against llama.cpp's formulas written out plainly in float64, in its order and in any other.
import { describe, expect, test } from "bun:test";
import { Random } from "../../core/index.ts";
import { chain, randomLogits } from "./helpers.ts";

interface Token {
  readonly id: number;
  readonly logit: number;
}

type Options = Readonly<Record<string, number>>;
type Step = (tokens: Token[], options: Options, history: readonly number[]) => Token[];

function probabilities(tokens: readonly Token[]): number[] {
  const most = Math.max(...tokens.map((t) => t.logit));
  const weights = tokens.map((t) => Math.exp(t.logit - most));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

const falling = (tokens: Token[]): Token[] =>
  tokens.toSorted((a, b) => b.logit - a.logit || a.id - b.id);

/** The shortest prefix whose probability sums to what `enough` says. */
function prefix(tokens: Token[], enough: (sum: number) => boolean): Token[] {
  const p = probabilities(tokens);
  let sum = 0;
  const end = p.findIndex((value) => {
    sum += value;
    return enough(sum);
  });
  return end < 0 ? tokens : tokens.slice(0, end + 1);
}

const entropy = (p: readonly number[]): number =>
  p.reduce((sum, x) => sum - (x > 0 ? x * Math.log(x) : 0), 0);

/** One sampler each, by llama.cpp's name. */
const steps: Readonly<Record<string, Step>> = {
  penalties(tokens, o, history) {
    const seen = history.slice(-o.repeat_last_n!);
    return tokens.map(({ id, logit }) => {
      const count = seen.filter((token) => token === id).length;
      if (count === 0) return { id, logit };
      const scaled = logit <= 0 ? logit * o.repeat_penalty! : logit / o.repeat_penalty!;
      return { id, logit: scaled - count * o.frequency_penalty! - o.presence_penalty! };
    });
  },
  dry(tokens, o, history) {
    const longest = new Map<number, number>();
    for (let end = 1; end < history.length; end++) {
      let length = 0;
      while (length < end && history[end - 1 - length] === history.at(-1 - length)) length++;
      const next = history[end]!;
      if (length >= o.dry_allowed_length!) {
        longest.set(next, Math.max(length, longest.get(next) ?? 0));
      }
    }
    return tokens.map(({ id, logit }) => {
      const length = longest.get(id);
      if (length === undefined) return { id, logit };
      const power = o.dry_base! ** (length - o.dry_allowed_length!);
      return { id, logit: logit - o.dry_multiplier! * power };
    });
  },
  top_n_sigma(tokens, o) {
    const finite = tokens.filter((t) => Number.isFinite(t.logit));
    const mean = finite.reduce((sum, t) => sum + t.logit, 0) / finite.length;
    const squares = finite.reduce((sum, t) => sum + (t.logit - mean) ** 2, 0);
    const least =
      Math.max(...tokens.map((t) => t.logit)) - o.top_n_sigma! * Math.sqrt(squares / finite.length);
    return tokens.map(({ id, logit }) => ({ id, logit: logit < least ? -Infinity : logit }));
  },
  top_k: (tokens, o) => falling(tokens).slice(0, o.top_k),
  typ_p(tokens, o) {
    const p = probabilities(tokens);
    const h = entropy(p);
    const distance = new Map(tokens.map(({ id }, i) => [id, Math.abs(-Math.log(p[i]!) - h)]));
    const chance = new Map(tokens.map(({ id }, i) => [id, p[i]!]));
    const order = tokens.toSorted((a, b) => distance.get(a.id)! - distance.get(b.id)!);
    let sum = 0;
    const end = order.findIndex(({ id }) => {
      sum += chance.get(id)!;
      return sum > o.typical_p!;
    });
    return end < 0 ? order : order.slice(0, end + 1);
  },
  top_p: (tokens, o) => prefix(falling(tokens), (sum) => sum >= o.top_p!),
  min_p(tokens, o) {
    const least = Math.max(...tokens.map((t) => t.logit)) + Math.log(o.min_p!);
    return tokens.filter((t) => t.logit >= least);
  },
  xtc(tokens, o) {
    const order = falling(tokens);
    const p = probabilities(order);
    const above = p.filter((x) => x >= o.xtc_threshold!).length;
    return above > 1 ? order.slice(above - 1) : order;
  },
  temperature(tokens, o) {
    const range = o.dynatemp_range!;
    if (range === 0) return tokens.map((t) => ({ ...t, logit: t.logit / o.temperature! }));
    if (tokens.length <= 1) return tokens;
    const low = Math.max(0, o.temperature! - range);
    const high = o.temperature! + range;
    const share = entropy(probabilities(tokens)) / Math.log(tokens.length);
    const t = low + (high - low) * share ** o.dynatemp_exponent!;
    return tokens.map(({ id, logit }) => ({ id, logit: logit / t }));
  },
};

const names = Object.keys(steps);

/** Options of every sampler at once, none of them without effect. */
function randomOptions(random: Random): Options {
  const between = (low: number, high: number): number => low + (high - low) * random.double();
  return {
    repeat_last_n: 5 + Math.floor(random.double() * 20),
    repeat_penalty: between(1, 2),
    frequency_penalty: between(0, 0.5),
    presence_penalty: between(0, 0.5),
    dry_multiplier: between(0.1, 1),
    dry_base: between(1.1, 2),
    dry_allowed_length: 1 + Math.floor(random.double() * 2),
    dry_penalty_last_n: -1,
    top_n_sigma: between(1, 4),
    top_k: 3 + Math.floor(random.double() * 60),
    typical_p: between(0.3, 0.99),
    top_p: between(0.3, 0.99),
    min_p: between(0.001, 0.3),
    xtc_probability: 1,
    xtc_threshold: between(0.02, 0.3),
    temperature: between(0.3, 2),
    dynatemp_range: random.double() < 0.5 ? 0 : between(0.1, 0.3),
    dynatemp_exponent: between(0.5, 2),
    min_keep: 0,
  };
}

function expectSame(order: readonly string[], options: Options, seed: number): void {
  const random = new Random(seed + 1000);
  const history = Array.from({ length: 40 }, () => Math.floor(random.double() * 12));
  const logits = randomLogits(80, seed);
  const setting = { tokens: history, vocabularySize: 80, tokenize: () => [] };
  const own = chain({ ...options, samplers: order, dry_sequence_breakers: [] }, setting);
  own.sample(logits);
  const got = new Map(own.probabilities(80).map((t) => [t.token, Math.exp(t.logprob)]));
  let tokens: Token[] = Array.from(logits, (logit, id) => ({ id, logit }));
  for (const name of order) tokens = steps[name]!(tokens, options, history);
  const p = probabilities(tokens);
  const wanted = new Map(tokens.map(({ id }, i) => [id, p[i]!]));
  for (const [id, value] of wanted) {
    if (value === 0) wanted.delete(id);
  }
  const ids = (map: Map<number, number>) => [...map.keys()].toSorted((a, b) => a - b);
  expect([seed, order, ids(got)]).toEqual([seed, order, ids(wanted)]);
  for (const [id, value] of wanted) expect(Math.abs(got.get(id)! - value)).toBeLessThan(1e-4);
}

describe("every sampler at once", () => {
  test("in llama.cpp's order: 300 random settings", () => {
    for (let seed = 0; seed < 300; seed++) {
      expectSame(names, randomOptions(new Random(seed)), seed);
    }
  });

  test("in 300 random orders of some of them", () => {
    for (let seed = 300; seed < 600; seed++) {
      const random = new Random(seed);
      const options = randomOptions(random);
      const order = names
        .map((name) => ({ name, at: random.double() }))
        .filter(({ at }) => at < 0.7)
        .toSorted((a, b) => a.at - b.at)
        .map(({ name }) => name);
      expectSame(order.length > 0 ? order : ["top_k"], options, seed);
    }
  });
});

describe("top-k, top-p and min-p on 10,000 tokens with p proportional to the id", () => {
  const size = 10_000;
  const logits = Float32Array.from({ length: size }, (_, id) => Math.log(id + 1));
  /** How many of the largest ids together hold a share p of what the n largest hold. */
  const share = (n: number, p: number): number => {
    const low = size - n;
    const whole = (size * (size + 1) - low * (low + 1)) / 2;
    let sum = 0;
    let kept = 0;
    while (sum < p * whole * (1 - 1e-9)) sum += size - kept++;
    return kept;
  };
  const orders: [letters: string, k: number, p: number, m: number, kept: number][] = [
    ["k", size, 1, 0, size],
    ["k", 1, 1, 0, 1],
    ["p", size, 0.8, 0, share(size, 0.8)],
    ["m", size, 1, 1, 1],
    // p_i >= m p_max where i + 1 >= 999.5 (no float is on the edge).
    ["m", size, 1, 0.09995, size - 999],
    ["kp", 100, 0.8, 0, share(100, 0.8)],
    ["pk", 100, 0.8, 0, 100],
    ["km", 100, 1, 0.49995, 100],
    ["mk", 9999, 1, 0.49995, 5001],
    ["kpm", 100, 0.8, 0.1, share(100, 0.8)],
    ["mpk", 100, 0.8, 0.9, 100],
    ["mp", size, 0.5, 0.89995, share(1001, 0.5)],
    ["pm", size, 0.5, 0.89995, 1001],
  ];
  for (const [samplers, top_k, top_p, min_p, kept] of orders) {
    test(`${samplers} ${top_k} ${top_p} ${min_p}`, () => {
      const own = chain({ samplers, top_k, top_p, min_p }, { vocabularySize: size });
      own.sample(logits);
      const left = own.probabilities(size).map((t) => t.token);
      expect(left).toEqual(Array.from({ length: kept }, (_, i) => size - 1 - i));
    });
  }
});
