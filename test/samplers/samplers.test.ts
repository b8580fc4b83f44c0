// Worked cases of the samplers with a memory, and the conformance suite over all of them.
import { describe, expect, test } from "bun:test";
import type { Sampler, SamplerLink } from "../../core/index.ts";
import { testSampler } from "../../core/testing/sampler.ts";
import { candidatesOf, chain, link, neutral, randomLogits, samplers } from "./helpers.ts";

const byName = (name: string) => samplers.find((s) => s.name === name)!;

describe("DRY", () => {
  const alphabet = "abcdefgh.\n";
  const setting = (text: string) => ({
    tokens: [...text].map((c) => alphabet.indexOf(c)),
    piece: (token: number) => alphabet[token] ?? "",
    tokenize: (t: string) => [...t].map((c) => alphabet.indexOf(c)),
    vocabularySize: alphabet.length,
  });
  const options = {
    dry_multiplier: 1,
    dry_base: 2,
    dry_allowed_length: 2,
    dry_penalty_last_n: -1,
    dry_sequence_breakers: ["\n"],
  };

  /** Penalty of each token that has one, by its letter. */
  function penalized(text: string, change: object = {}): Record<string, number> {
    const c = candidatesOf(new Array(alphabet.length).fill(0));
    link("dry", { ...options, ...change }, setting(text)).apply(c);
    const found: Record<string, number> = {};
    for (let i = 0; i < c.length; i++) if (c.logits[i] !== 0) found[alphabet[i]!] = -c.logits[i]!;
    return found;
  }

  test("grows with the repetition's length", () => {
    expect(penalized("abcab")).toEqual({ c: 1 });
    expect(penalized("abcdabc")).toEqual({ d: 2 });
    expect(penalized("abcdeabcd")).toEqual({ e: 4 });
    expect(penalized("abcad")).toEqual({});
  });

  test("takes the longest copy for a token, and all tokens that followed", () => {
    expect(penalized("xbcabcaybc".replaceAll(/[xy]/g, "h"))).toEqual({ a: 2 });
    expect(penalized("abcabdab")).toEqual({ c: 1, d: 1 });
    // Within "aaaaa", the last four equal the four before the last.
    expect(penalized("aaaaa")).toEqual({ a: 4 });
  });

  test("does not reach over a breaker, nor past the last n", () => {
    expect(penalized("abcd\nabc")).toEqual({ d: 2 });
    expect(penalized("bc\nabc\na")).toEqual({});
    expect(penalized("abcdabc", { dry_penalty_last_n: 6 })).toEqual({ d: 1 });
    expect(penalized("ab\nab")).toEqual({});
    expect(penalized("ab\nab", { dry_sequence_breakers: [] })).toEqual({ "\n": 1 });
  });

  test("breakers of several tokens are found", () => {
    const change = { dry_sequence_breakers: ["gh"] };
    expect(penalized("abghcabghc", change)).toEqual({});
    expect(penalized("abghcabghc", { dry_sequence_breakers: [] })).toEqual({ a: 8 });
    expect(penalized("ghabcghab", change)).toEqual({ c: 1 });
  });

  test("a huge repetition does not overflow", () => {
    const c = candidatesOf([0, 0]);
    link("dry", { ...options, dry_base: 4 }, setting("a".repeat(3000))).apply(c);
    expect(c.logits[0]).toBeLessThan(-1e37);
    expect(Number.isFinite(c.logits[0])).toBe(true);
  });
});

describe("mirostat", () => {
  for (const version of [1, 2]) {
    test(`version ${version} holds the surprise near its target`, () => {
      const tau = 3;
      const c = chain({ mirostat: version, mirostat_tau: tau, temperature: 1 }, { seed: 5 });
      let bits = 0;
      const steps = 3000;
      for (let step = 0; step < steps; step++) {
        const logits = randomLogits(1000, step);
        const token = c.sample(logits);
        const drawn = c.probabilities(1000).find((t) => t.token === token)!;
        bits -= drawn.logprob / Math.LN2 / steps;
      }
      expect(Math.abs(bits - tau)).toBeLessThan(0.2);
    });
  }
});

describe("adaptive-p", () => {
  test("first prefers tokens of the target probability", () => {
    const p = [0.5, 0.3, 0.15, 0.05];
    const c = chain({ ...neutral, adaptive_target: 0.3 }, { vocabularySize: 4 });
    c.sample(Float32Array.from(p, Math.log));
    const weights = p.map((x) => {
      const d = Math.abs(x - 0.3) / 0.3;
      return Math.exp(5 - (10 * d * d) / (1 + d));
    });
    const sum = weights.reduce((a, b) => a + b, 0);
    for (const { token, logprob } of c.probabilities(4)) {
      expect(Math.exp(logprob)).toBeCloseTo(weights[token]! / sum, 5);
    }
  });

  test("keeps the average of what it draws near the target", () => {
    const c = chain({ ...neutral, adaptive_target: 0.2 }, { vocabularySize: 1000 });
    let average = 0;
    for (let step = 0; step < 2000; step++) {
      const logits = randomLogits(30, step);
      const max = Math.max(...logits);
      const sum = logits.reduce((a, l) => a + Math.exp(l - max), 0);
      average += Math.exp(logits[c.sample(logits)]! - max) / sum / 2000;
    }
    expect(Math.abs(average - 0.2)).toBeLessThan(0.1);
  });
});

describe("infill", () => {
  const pieces = ["ab", "a", "x", "y", "</s>"];
  const setting = { endTokens: [4], piece: (token: number) => pieces[token]!, vocabularySize: 5 };

  function left(p: number[]): string[] {
    const c = chain({ ...neutral, samplers: ["infill"] }, setting);
    c.sample(Float32Array.from(p, Math.log));
    return c.probabilities(5).map(({ token }) => pieces[token]!);
  }

  test("ends where the end is likely enough", () => {
    expect(left([0.3, 0.2, 0.2, 0.2, 0.1])).toEqual(["</s>"]);
  });

  test("merges a token with one that it begins", () => {
    expect(left([0.22, 0.21, 0.5, 0.069, 0.001])).toEqual(["x", "ab", "</s>"]);
  });

  test("ends where no continuation is sure", () => {
    expect(left([0.19, 0.01, 0.19, 0.19, 0.0001])).toEqual(["ab", "x", "y", "</s>"]);
    const many = Array.from({ length: 20 }, (_, i) => String.fromCharCode(97 + i));
    const c = chain(
      { ...neutral, samplers: "i" },
      { endTokens: [20], piece: (token) => many[token] ?? "", vocabularySize: 21 },
    );
    expect(c.sample(new Float32Array(21).fill(0, 0, 20).fill(-20, 20))).toBe(20);
  });

  test("runs only where it is named", () => {
    const c = chain({ temperature: 0 }, setting);
    expect(c.sample(Float32Array.of(3, 2, 1, 0, 2.9))).toBe(0);
  });
});

describe("logit bias", () => {
  test("of a token that is not there is refused", () => {
    expect(() => chain({ logit_bias: { 1000: 1 } })).toThrow("token 1000");
    expect(() => chain({ logit_bias: [[-1, 1]] })).toThrow("token -1");
    expect(() => chain({ allowed_token_ids: [1000] })).toThrow('"allowed_token_ids": token 1000');
    expect(() => chain({ logit_bias: 3 })).toThrow('"logit_bias"');
  });

  test("min_tokens counts generated tokens", () => {
    const c = chain(
      { ...neutral, temperature: 0, min_tokens: 2 },
      { endTokens: [0], tokens: [5, 6, 7] },
    );
    const logits = Float32Array.of(3, 2, 1);
    const drawn = [0, 0, 0].map(() => {
      const token = c.sample(logits);
      c.accept(token);
      return token;
    });
    expect(drawn).toEqual([1, 1, 0]);
  });

  test("bans need few more logits", () => {
    expect(chain({ temperature: 0, logit_bias: { 3: false, 4: -2 } }).neededLogits()).toBe(3);
    expect(chain({ temperature: 0, logit_bias: { 3: 2 } }).neededLogits()).toBe("all");
  });
});

describe("conformance", () => {
  const optionSets: Record<string, Record<string, unknown>[]> = {
    logit_bias: [{ logit_bias: { 3: 2, 4: false } }, { ignore_eos: true }, { min_tokens: 9 }],
    penalties: [
      { repeat_penalty: 1.3, presence_penalty: 0.1 },
      { repeat_penalty: 0.7, repeat_last_n: 3 },
      { frequency_penalty: -0.5, repeat_last_n: -1 },
    ],
    dry: [{ dry_multiplier: 0.8 }, { dry_multiplier: 1, dry_penalty_last_n: -1 }],
    top_n_sigma: [{ top_n_sigma: 1 }],
    top_k: [{ top_k: 1 }, { top_k: 7, min_keep: 9 }],
    typ_p: [{ typical_p: 0.5 }, { typical_p: 0, min_keep: 3 }],
    top_p: [{ top_p: 0.3 }, { top_p: 0, min_keep: 4 }],
    min_p: [{ min_p: 0.5 }, { min_p: 1, min_keep: 4 }],
    xtc: [{ xtc_probability: 1, xtc_threshold: 0.05 }, { xtc_probability: 0.5 }],
    temperature: [{ temperature: 0 }, { temperature: 1.5 }, { dynatemp_range: 0.8 }],
    mirostat: [{ mirostat: 1 }, { mirostat: 2 }],
    adaptive_p: [{ adaptive_target: 0.3 }],
    infill: [],
  };

  for (const sampler of samplers) {
    test(sampler.name, () => {
      const sets = optionSets[sampler.name];
      if (sets === undefined) throw new Error("no options to test it with");
      testSampler(sampler, sets);
    });
  }

  const topK = byName("top_k");
  const does = (apply: SamplerLink["apply"], promises: Partial<SamplerLink> = {}) => ({
    create: () => ({ apply, ...promises }),
  });
  const broken: [string, Partial<Sampler>][] = [
    ["keeps", { create: (o, c) => ({ ...topK.create(o, c)!, keeps: 2 }) }],
    ["candidates", does((c) => Object.assign(c, { length: 0 }))],
    ["sorted", does((c) => Object.assign(c, { sorted: true }))],
    ["NaN", does((c) => c.logits.fill(NaN, 0, 1))],
    ["doubles", does((c) => c.ids.fill(1, 0, 1))],
    ["monotone", does((c) => c.logits.reverse(), { monotone: true })],
    ["raises", does((c) => c.logits.fill(200, 0, 1), { lowers: 1 })],
    ["same seed", does((c) => c.logits.fill(Math.random(), 0, 1))],
    ["letter", { letter: "kk" }],
  ];
  for (const [message, change] of broken) {
    test(`a sampler that is wrong fails: ${message}`, () => {
      expect(() => testSampler({ ...topK, ...change })).toThrow(message);
    });
  }
});
