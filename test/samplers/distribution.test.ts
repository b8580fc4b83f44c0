// Each sampler's distribution over a small vocabulary: worked closed forms, and 20,000 draws of them.
import { describe, expect, test } from "bun:test";
import { chain, neutral, type Setting } from "./helpers.ts";

const draws = 20_000;

/** Chi-square quantiles at 1 - 1e-4 for 1, 2, ... degrees of freedom. */
const critical = [15.14, 18.42, 21.11, 23.51, 25.74, 27.86, 29.88, 31.83];

interface Case {
  readonly name: string;
  readonly options: Record<string, unknown>;
  readonly p: readonly number[];
  readonly expected: readonly number[];
  readonly setting?: Setting;
  /** The sampler learns from what it draws: each draw is the first of a new chain. */
  readonly first?: true;
}

const normalize = (weights: readonly number[]) => {
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / sum);
};

const power = (p: readonly number[], exponent: number) =>
  normalize(p.map((x) => (x > 0 ? x ** exponent : 0)));

const four = [0.1, 0.2, 0.3, 0.4];
const skewed = [0.5, 0.25, 0.125, 0.0625, 0.0625];
const uniform = [0.25, 0.25, 0.25, 0.25];

const entropy = (p: readonly number[]) => -p.reduce((h, x) => h + (x > 0 ? x * Math.log(x) : 0), 0);

function dynamicTemperature(p: readonly number[], low: number, high: number, exponent: number) {
  return low + (high - low) * (entropy(p) / Math.log(p.length)) ** exponent;
}

/** The k best of n tokens of p ~ rank^-s that Mirostat 1 keeps for mu bits. */
function zipfTop(s: number, n: number, mu: number): number[] {
  const e = s - 1;
  const k = Math.floor(((e * 2 ** mu) / (1 - n ** -e)) ** (1 / s));
  return normalize(Array.from({ length: n }, (_, i) => (i < k ? (i + 1) ** -s : 0)));
}

const cases: Case[] = [
  { name: "nothing", options: {}, p: four, expected: four },
  { name: "temperature 2", options: { temperature: 2 }, p: four, expected: power(four, 0.5) },
  { name: "temperature 0.5", options: { temperature: 0.5 }, p: four, expected: power(four, 2) },
  { name: "temperature 0", options: { temperature: 0 }, p: uniform, expected: [1, 0, 0, 0] },
  {
    name: "dynamic temperature",
    options: { temperature: 1, dynatemp_range: 0.5, dynatemp_exponent: 2 },
    p: four,
    expected: power(four, 1 / dynamicTemperature(four, 0.5, 1.5, 2)),
  },
  { name: "top-k 1", options: { top_k: 1 }, p: four, expected: [0, 0, 0, 1] },
  { name: "top-k 3", options: { top_k: 3 }, p: four, expected: normalize([0, 0.2, 0.3, 0.4]) },
  { name: "top-k of equals", options: { top_k: 2 }, p: uniform, expected: [0.5, 0.5, 0, 0] },
  { name: "top-p 0", options: { top_p: 0 }, p: four, expected: [0, 0, 0, 1] },
  { name: "top-p 0.6", options: { top_p: 0.6 }, p: four, expected: [0, 0, 3 / 7, 4 / 7] },
  { name: "top-p 0.8", options: { top_p: 0.8 }, p: four, expected: normalize([0, 2, 3, 4]) },
  {
    name: "top-p reached exactly",
    options: { top_p: 0.75 },
    p: skewed,
    expected: [2 / 3, 1 / 3, 0, 0, 0],
  },
  {
    name: "top-p with min_keep",
    options: { top_p: 0.1, min_keep: 3 },
    p: four,
    expected: normalize([0, 2, 3, 4]),
  },
  { name: "min-p 0.26", options: { min_p: 0.26 }, p: four, expected: normalize([0, 2, 3, 4]) },
  { name: "min-p 0.74", options: { min_p: 0.74 }, p: four, expected: [0, 0, 3 / 7, 4 / 7] },
  { name: "min-p 1", options: { min_p: 1 }, p: four, expected: [0, 0, 0, 1] },
  // |-ln p - H| is smallest for 0.3 (H = 1.28), then 0.2, 0.4, 0.1.
  { name: "typical 0.3", options: { typical_p: 0.29 }, p: four, expected: [0, 0, 1, 0] },
  { name: "typical 0.5", options: { typical_p: 0.45 }, p: four, expected: [0, 0.4, 0.6, 0] },
  {
    name: "top-n-sigma",
    // Logits 0, 1, 2, 3: sigma = sqrt(1.25) = 1.118.
    options: { top_n_sigma: 1 },
    p: normalize([1, Math.E, Math.E ** 2, Math.E ** 3]),
    expected: normalize([0, 0, 1, Math.E]),
  },
  {
    name: "XTC always",
    options: { xtc_probability: 1, xtc_threshold: 0.25 },
    p: four,
    expected: normalize([1, 2, 3, 0]),
  },
  {
    name: "XTC half of the time",
    options: { xtc_probability: 0.5, xtc_threshold: 0.15 },
    p: four,
    expected: four.map((p, i) => (p + normalize([1, 2, 0, 0])[i]!) / 2),
  },
  {
    name: "XTC with one top choice",
    options: { xtc_probability: 1, xtc_threshold: 0.4 },
    p: four,
    expected: four,
  },
  {
    name: "repeat penalty",
    // Logits 1 and -1: 1 / 2 and -1 * 2.
    options: { repeat_penalty: 2 },
    p: [Math.E, Math.E, 1 / Math.E, 1 / Math.E],
    expected: normalize([Math.E, Math.exp(0.5), 1 / Math.E, Math.exp(-2)]),
    setting: { tokens: [1, 3, 3] },
  },
  {
    name: "presence and frequency penalties",
    options: { presence_penalty: 0.5, frequency_penalty: 0.25 },
    p: uniform,
    expected: normalize([1, Math.exp(-0.75), 1, Math.exp(-1)]),
    setting: { tokens: [1, 3, 3] },
  },
  {
    name: "penalties over the last two",
    options: { presence_penalty: 1, repeat_last_n: 2 },
    p: uniform,
    expected: normalize([1, 1, Math.exp(-1), Math.exp(-1)]),
    setting: { tokens: [1, 0, 2, 3] },
  },
  {
    name: "logit bias",
    options: { logit_bias: { 0: 1, 3: false } },
    p: four,
    expected: normalize([0.1 * Math.E, 0.2, 0.3, 0]),
  },
  {
    name: "logit bias by text",
    options: {
      logit_bias: [
        ["b", false],
        [2, -100],
      ],
    },
    p: four,
    expected: [0.2, 0, 0, 0.8],
    setting: { tokenize: (text) => [...text].map((c) => c.charCodeAt(0) - 97) },
  },
  {
    name: "allowed_token_ids",
    options: { allowed_token_ids: [1, 3] },
    p: four,
    expected: [0, 1 / 3, 0, 2 / 3],
  },
  {
    name: "ignore_eos",
    options: { ignore_eos: true },
    p: four,
    expected: normalize([1, 2, 3, 0]),
    setting: { endTokens: [3] },
  },
  {
    name: "min_tokens",
    options: { min_tokens: 1 },
    p: four,
    expected: normalize([1, 2, 3, 0]),
    setting: { endTokens: [3], tokens: [1] },
  },
  {
    name: "DRY",
    // "0 1 2 0 1": the last two were followed by 2 before; 1 token past the allowed one.
    options: { dry_multiplier: 0.5, dry_base: 2, dry_allowed_length: 1, dry_sequence_breakers: [] },
    p: uniform,
    expected: normalize([1, 1, Math.exp(-1), 1]),
    setting: { tokens: [0, 1, 2, 0, 1] },
  },
  {
    name: "llama.cpp's order: top-k, top-p over what is left, min-p, temperature last",
    options: { top_k: 3, top_p: 0.7, min_p: 0.5, temperature: 0.5 },
    p: four,
    expected: [0, 0, 9 / 25, 16 / 25],
  },
  {
    name: "temperature first, top-p on the flattened distribution",
    options: { samplers: ["temperature", "top_p"], temperature: 2, top_p: 0.5 },
    p: four,
    expected: normalize([0, 0, Math.sqrt(0.3), Math.sqrt(0.4)]),
  },
  {
    name: "mirostat 2 at its start",
    // mu = 2 tau = 2.02 bits: tokens of p >= 1/4, by the first draw only; eta 0 keeps mu.
    options: { mirostat: 2, mirostat_tau: 1.01, mirostat_eta: 0 },
    p: skewed,
    expected: [2 / 3, 1 / 3, 0, 0, 0],
  },
  {
    name: "mirostat 2, first draws, learning as it does",
    options: { mirostat: 2, mirostat_tau: 1.01, mirostat_eta: 0.1 },
    p: skewed,
    expected: [2 / 3, 1 / 3, 0, 0, 0],
    first: true,
  },
  {
    name: "mirostat 1, first draws",
    // k = ((e 2^mu) / (1 - n^-e))^(1/s) with mu = 2 tau, e = s - 1, of Zipf's exponent s.
    options: { mirostat: 1, mirostat_tau: 0.7, mirostat_eta: 0.1 },
    p: normalize([1, 2 ** -1.5, 3 ** -1.5, 4 ** -1.5, 5 ** -1.5]),
    expected: zipfTop(1.5, 5, 1.4),
    first: true,
  },
  {
    name: "adaptive-p, first draws",
    options: { adaptive_target: 0.3 },
    p: four,
    expected: normalize(
      four.map((p) => {
        const d = Math.abs(p - 0.3) / 0.3;
        return Math.exp(5 - (10 * d * d) / (1 + d));
      }),
    ),
    first: true,
  },
  {
    name: "infill: what begins another merges with it, unsure ones go",
    // "a" begins "ab": 0.43 for "ab"; "y" is below 0.2; then all of 0.93 are above 1 / 3.
    options: { samplers: ["infill"] },
    p: [0.22, 0.21, 0.5, 0.069, 0.001],
    expected: normalize([0.22, 0, 0.5, 0, 0.001]),
    setting: { endTokens: [4], piece: (token) => ["ab", "a", "x", "y", "</s>"][token]! },
  },
  {
    name: "mirostat runs without top-k",
    options: { mirostat: 2, mirostat_tau: 1.01, mirostat_eta: 0, top_k: 1 },
    p: skewed,
    expected: [2 / 3, 1 / 3, 0, 0, 0],
  },
];

function logitsOf(p: readonly number[]): Float32Array {
  return Float32Array.from(p, Math.log);
}

function chiSquare(counts: readonly number[], expected: readonly number[]): [number, number] {
  let sum = 0;
  let cells = 0;
  for (const [i, p] of expected.entries()) {
    if (p === 0) {
      if (counts[i]! > 0) throw new Error(`token ${i} was drawn`);
      continue;
    }
    sum += (counts[i]! - draws * p) ** 2 / (draws * p);
    cells++;
  }
  return [sum, cells - 1];
}

describe("distribution", () => {
  for (const { name, options, p, expected, setting, first } of cases) {
    test(name, () => {
      const make = (seed: number) =>
        chain({ ...neutral, ...options }, { ...setting, vocabularySize: p.length, seed });
      let c = make(1);
      const logits = logitsOf(p);
      const counts = new Array<number>(p.length).fill(0);
      for (let i = 0; i < draws; i++) {
        if (first) c = make(i);
        counts[c.sample(logits)]!++;
      }
      const [sum, freedom] = chiSquare(counts, expected);
      expect(sum).toBeLessThan(critical[freedom - 1] ?? 1e-9);
      if (name.startsWith("XTC half")) return;
      const exact = new Array<number>(p.length).fill(0);
      for (const { token, logprob } of c.probabilities(p.length)) exact[token] = Math.exp(logprob);
      for (const [i, x] of expected.entries()) expect(exact[i]!).toBeCloseTo(x, 5);
    });
  }
});
