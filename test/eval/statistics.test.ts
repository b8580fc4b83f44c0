// Intervals, comparisons of samples, and divergences of truncated distributions.
import { expect, test } from "bun:test";
import { compareSamples, scoredTexts } from "../../apps/eval/compare.ts";
import { klOfTops } from "../../apps/eval/divergence.ts";
import type { Sample } from "../../apps/eval/harness.ts";
import { meanOf, normal, wilson } from "../../apps/eval/statistics.ts";

test("Wilson's interval, against published values", () => {
  // Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
  const cases: [number, number, number, number][] = [
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ];
  for (const [right, count, low, high] of cases) {
    const [a, b] = wilson(right / count, count);
    expect(a).toBeCloseTo(low, 4);
    expect(b).toBeCloseTo(high, 4);
  }
});

test("mean with standard error", () => {
  const { mean, stderr } = meanOf([2, 4, 4, 4, 5, 5, 7, 9]);
  expect(mean).toBe(5);
  expect(stderr).toBeCloseTo(Math.sqrt(32 / 7 / 8), 12);
  expect(meanOf([3])).toEqual({ mean: 3, stderr: 0 });
  expect(normal(1, 0.5)[1]).toBeCloseTo(1.98, 3);
});

test("KL of truncated distributions is a lower bound, and exact for whole ones", () => {
  const logs = (list: Record<string, number>): Record<string, number> =>
    Object.fromEntries(Object.entries(list).map(([name, p]) => [name, Math.log(p)]));
  const p = { a: 0.5, b: 0.3, c: 0.15, d: 0.05 };
  const q = { a: 0.4, b: 0.4, c: 0.1, d: 0.1 };
  const exact = Object.entries(p).reduce(
    (sum, [name, x]) => sum + x * Math.log(x / q[name as keyof typeof q]),
    0,
  );
  expect(klOfTops(logs(p), logs(q))).toBeCloseTo(exact, 12);
  const cut = klOfTops(logs({ a: 0.5, b: 0.3 }), logs({ a: 0.4, b: 0.4 }));
  expect(cut).toBeGreaterThan(0);
  expect(cut).toBeLessThan(exact);
  expect(klOfTops(logs({ a: 0.5, c: 0.15 }), logs({ a: 0.4, b: 0.4 }))).toBeCloseTo(
    0.5 * Math.log(0.5 / 0.4) + 0.5 * Math.log(0.5 / 0.6),
    12,
  );
  expect(klOfTops(logs(p), logs(p))).toBe(0);
});

test("samples of two servers are paired by task and number", () => {
  const sample = (id: number, logprobs: number[], acc: number): Sample => ({
    task: "t",
    id,
    requests: logprobs.map((_, i) => ["x", ` ${i}`] as const),
    logprobs,
    texts: [],
    scores: { acc },
  });
  const first = [sample(0, [-1, -2], 1), sample(1, [-3, -1], 0), sample(2, [-1, -5], 1)];
  const second = [sample(1, [-1, -2], 1), sample(0, [-1.5, -2], 1)];
  const [only, ...none] = compareSamples(first, second);
  expect(none).toEqual([]);
  expect(only).toMatchObject({ task: "t", count: 2, agreement: 0.5 });
  expect(only?.loglikelihood?.mean).toBeCloseTo((-0.5 + 0 + 2 - 1) / 4, 12);
  expect(only?.loglikelihood?.largest).toBe(2);
  expect(only?.scores.acc?.difference).toBe(0.5);
  expect(scoredTexts(first, 9)).toEqual(["x 0", "x 1"]);
  expect(scoredTexts(first, 1)).toEqual(["x 0"]);
});
