// The chain: selection, order of links, greedy, reproducibility, what it needs of the head.
import { describe, expect, test } from "bun:test";
import {
  type Candidates,
  defaultSamplingOptions,
  keepLargest,
  logprobs,
  samplingSchema,
} from "../../core/index.ts";
import { orderSamplers } from "../../core/sampling/options.ts";
import { candidatesOf, chain, neutral, randomLogits, samplers } from "./helpers.ts";

const names = (order: unknown) => orderSamplers(samplers, order).map((s) => s.name);

function reference(logits: Float32Array, k: number): [number, number][] {
  return [...logits.entries()].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, k);
}

const pairs = (c: Candidates): [number, number][] =>
  Array.from({ length: c.length }, (_, i) => [c.ids[i]!, c.logits[i]!]);

describe("selection", () => {
  test("equals a sort, ties included, for every way it is done", () => {
    for (const steps of [0, 2]) {
      const logits = randomLogits(3000, 7, steps);
      logits.set([0, -0, Infinity, -Infinity, -1e-40, 1e-40], 100);
      for (const k of [1, 2, 40, 300, 2999, 3000, 5000]) {
        const candidates = candidatesOf([...logits]);
        keepLargest(candidates, k);
        expect(pairs(candidates)).toEqual(
          reference(logits, k).map(([id, logit]) => [id, logit + 0]),
        );
        expect(candidates.sorted).toBe(true);
      }
    }
  });
});

describe("order", () => {
  test("is llama.cpp's unless the request says", () => {
    const order = ["penalties", "top_k", "top_p", "min_p", "temperature"];
    expect(names(undefined).filter((name) => order.includes(name))).toEqual(order);
    expect(names("tk").slice(-2)).toEqual(["temperature", "top_k"]);
    expect(names("top_p;temp").slice(-2)).toEqual(["top_p", "temperature"]);
    expect(names(["min-p", "nucleus"]).slice(-2)).toEqual(["min_p", "top_p"]);
    expect(() => names(["nope"])).toThrow('no sampler "nope"');
    expect(() => names("k?")).toThrow('no sampler "?"');
    expect(() => names([3])).toThrow('"samplers"');
  });

  test("matters", () => {
    const logits = Float32Array.from([0.1, 0.2, 0.3, 0.4], Math.log);
    const tokens = (samplers: string[]) => {
      const c = chain({ samplers, top_k: 2, top_p: 0.5 }, { vocabularySize: 4 });
      c.sample(logits);
      return c.probabilities(4).map(({ token }) => token);
    };
    expect(tokens(["top_p", "top_k"])).toEqual([3, 2]);
    expect(tokens(["top_k", "top_p"])).toEqual([3]);
    expect(tokens(["top_k"])).toEqual([3, 2]);
  });
});

describe("options", () => {
  test("have llama.cpp's defaults", () => {
    expect(defaultSamplingOptions(samplers)).toMatchObject({
      temperature: 0.8,
      top_k: 40,
      top_p: 0.95,
      min_p: 0.05,
      repeat_penalty: 1,
      repeat_last_n: 64,
      presence_penalty: 0,
      frequency_penalty: 0,
      dynatemp_range: 0,
      dynatemp_exponent: 1,
    });
    const schema = samplingSchema(samplers);
    expect(Object.keys(schema.properties)).toContain("samplers");
    expect(schema.required).toBeUndefined();
  });

  test("of two samplers under one name are refused", () => {
    const clash = { ...samplers.find((s) => s.name === "top_p")!, name: "other" };
    const options = { ...clash.options, properties: { top_p: clash.options.properties.min_keep! } };
    expect(() => samplingSchema([...samplers, { ...clash, options }])).toThrow('option "top_p"');
  });

  test("out of range or of a wrong type are refused by name; null is the default", () => {
    expect(() => chain({ top_p: 2 })).toThrow('"top_p"');
    expect(() => chain({ top_k: "many" })).toThrow('"top_k"');
    expect(() => chain({ repeat_penalty: 0 })).toThrow('"repeat_penalty"');
    expect(() => chain({ top_k: 1.5 })).toThrow('"top_k"');
    expect(chain({ top_k: null, temperature: undefined }).neededLogits()).toBe(40);
  });
});

describe("greedy", () => {
  test("takes the first maximum and needs one logit", () => {
    for (const temperature of [0, -1]) {
      const c = chain({ temperature });
      expect(c.neededLogits()).toBe(1);
      expect(c.sample(Float32Array.of(1, 3, 2, 3))).toBe(1);
      expect(c.sampleFrom(Int32Array.of(7), Float32Array.of(1))).toBe(7);
      expect(c.probabilities(5)).toEqual([{ token: 7, logprob: 0 }]);
    }
  });

  test("needs more where penalties touch tokens", () => {
    const c = chain({ temperature: 0, repeat_penalty: 1.5 }, { tokens: [5, 6, 5] });
    expect(c.neededLogits()).toBe(3);
    c.accept(9);
    expect(c.neededLogits()).toBe(4);
    expect(chain({ temperature: 0, repeat_penalty: 0.5 }, { tokens: [1] }).neededLogits()).toBe(
      "all",
    );
  });
});

describe("drawing", () => {
  const logits = randomLogits(1000, 11);

  test("a seed gives the same tokens, another seed others", () => {
    const run = (seed: number) => {
      const c = chain({}, { seed });
      return Array.from({ length: 50 }, () => c.sample(logits));
    };
    expect(run(3)).toEqual(run(3));
    expect(run(3)).not.toEqual(run(4));
  });

  test("the k largest logits give the same tokens as all of them", () => {
    const settings: Record<string, unknown>[] = [
      {},
      { temperature: 0 },
      { top_k: 5, top_p: 1, min_p: 0 },
      { repeat_penalty: 1.3, presence_penalty: 0.2 },
      { samplers: "tmk", temperature: 1.7, top_k: 30 },
      { samplers: "mkp", min_p: 0.01 },
    ];
    for (const options of settings) {
      for (const steps of [0, 4]) {
        const whole = chain(options, { tokens: [3, 8, 8] });
        const part = chain(options, { tokens: [3, 8, 8] });
        for (let step = 0; step < 40; step++) {
          const all = randomLogits(1000, step, steps);
          const needed = part.neededLogits();
          if (needed === "all") throw new Error(JSON.stringify(options));
          const top = reference(all, needed);
          const token = whole.sample(all);
          const ids = Int32Array.from(top, ([id]) => id);
          expect(
            part.sampleFrom(
              ids,
              Float32Array.from(top, ([, logit]) => logit),
            ),
          ).toBe(token);
          whole.accept(token);
          part.accept(token);
        }
      }
    }
  });

  test("what a larger draw left behind does not hide tokens from penalties and biases", () => {
    const settings: Record<string, unknown>[] = [
      { presence_penalty: 5 },
      { logit_bias: { 3: -5 } },
      { dry_multiplier: 5, dry_allowed_length: 1, dry_sequence_breakers: [] },
    ];
    for (const options of settings) {
      const used = chain({ ...neutral, ...options }, { tokens: [1, 3, 2, 1] });
      const fresh = chain({ ...neutral, ...options }, { tokens: [1, 3, 2, 1] });
      used.sample(logits);
      const few = [Int32Array.of(7, 3), Float32Array.of(1, 1.5)] as const;
      used.sampleFrom(...few);
      fresh.sampleFrom(...few);
      expect(used.probabilities(2)).toEqual(fresh.probabilities(2));
      expect(used.probabilities(2)[0]!.token).toBe(7);
    }
  });

  test("needs all logits where the distribution does", () => {
    expect(chain(neutral).neededLogits()).toBe("all");
    expect(chain({ ...neutral, top_p: 0.5 }).neededLogits()).toBe("all");
    expect(chain({ samplers: "pk" }).neededLogits()).toBe("all");
    expect(chain({ samplers: "k" }, { vocabularySize: 40 }).neededLogits()).toBe("all");
  });

  test("a mask leaves only its tokens", () => {
    const mask = new Uint32Array(32);
    const allowed = [0, 31, 32, 64, 999];
    for (const id of allowed) mask[id >> 5]! |= 1 << (id & 31);
    const c = chain({ ...neutral });
    const seen = new Set(Array.from({ length: 3000 }, () => c.sample(logits, mask)));
    for (const token of seen) expect(allowed).toContain(token);
    expect(chain({ temperature: 0 }).sample(logits, mask)).toBe(
      allowed.reduce((best, id) => (logits[id]! > logits[best]! ? id : best)),
    );
    expect(() => c.sample(logits, new Uint32Array(32))).toThrow("no token");
  });

  test("NaN and infinite logits do not break it", () => {
    const c = chain({ ...neutral });
    expect(c.sample(Float32Array.of(NaN, 2, NaN, -Infinity))).toBe(1);
    expect(c.sample(Float32Array.of(1, Infinity, 2))).toBe(1);
    expect(() => c.sample(Float32Array.of(-Infinity, NaN))).toThrow("no token is left to draw");
  });
});

describe("log-probabilities", () => {
  test("are the log-softmax of the raw logits", () => {
    const logits = Float32Array.from([0.1, 0.2, 0.3, 0.4], Math.log);
    const scored = logprobs(logits, 1, 2);
    expect(scored.token).toBe(1);
    expect(scored.logprob).toBeCloseTo(Math.log(0.2), 6);
    expect(scored.top.map(({ token }) => token)).toEqual([3, 2]);
    expect(scored.top[0]!.logprob).toBeCloseTo(Math.log(0.4), 6);
    expect(logprobs(logits, 0, 0).top).toEqual([]);
  });

  test("after the chain, they are of the draw's candidates", () => {
    const logits = Float32Array.from([0.1, 0.2, 0.3, 0.4], Math.log);
    const c = chain({ ...neutral, top_k: 2 }, { vocabularySize: 4 });
    c.sample(logits);
    const top = c.probabilities(10);
    expect(top.map(({ token }) => token)).toEqual([3, 2]);
    expect(Math.exp(top[0]!.logprob)).toBeCloseTo(0.4 / 0.7, 6);
  });
});
