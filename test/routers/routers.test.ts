// Routers: golden cases, the conformance suite, bad shapes, the load-balancing loss.
import { describe, expect, test } from "bun:test";
import type { Router } from "../../core/index.ts";
import { testRouter } from "../../core/testing/router.ts";
import { identity } from "../../plugins/routers/identity.ts";
import plugin from "../../plugins/routers/index.ts";
import { loadBalance } from "../../plugins/routers/load-balance.ts";
import { topK, topKSigmoid } from "../../plugins/routers/top-k.ts";

const golden = await Bun.file(new URL("../golden/formats.json", import.meta.url)).json();

const f32 = (values: number[]) => [...Float32Array.from(values)];

describe("top-k", () => {
  test("golden case", () => {
    const { logits, top_k, idx, weights_normalized, weights_unnormalized, tie } = golden.router;
    const input = Float32Array.from(logits);
    const shape = { experts: logits.length, topK: top_k };
    const normalized = topK.route(input, { ...shape, normalize: true });
    expect([...normalized.experts]).toEqual(idx);
    expect([...normalized.weights]).toEqual(f32(weights_normalized));
    const gathered = topK.route(input, { ...shape, normalize: false });
    expect([...gathered.weights]).toEqual(f32(weights_unnormalized));
    const tied = topK.route(Float32Array.from(tie.logits), { ...shape, normalize: true });
    expect([...tied.experts]).toEqual(tie.idx);
    expect([...tied.weights]).toEqual(tie.weights);
  });

  test("sigmoid scores", () => {
    const logits = Float32Array.of(0, Math.log(3), -Math.log(3));
    const shape = { experts: 3, topK: 2 };
    const plain = topKSigmoid.route(logits, { ...shape, normalize: false });
    expect([...plain.experts]).toEqual([1, 0]);
    expect(plain.weights[0]).toBeCloseTo(0.75, 6);
    expect(plain.weights[1]).toBe(0.5);
    const normalized = topKSigmoid.route(logits, { ...shape, normalize: true });
    expect(normalized.weights[0]).toBeCloseTo(0.6, 6);
  });

  test("NaN is chosen last", () => {
    const shape = { experts: 3, topK: 2, normalize: true };
    expect([...topK.route(Float32Array.of(NaN, 1, 2), shape).experts]).toEqual([2, 1]);
  });
});

describe("identity", () => {
  const logits = new Float32Array(4);

  test("sends every token to its targets", () => {
    const shape = { experts: 4, topK: 2, normalize: true };
    expect([...identity.route(logits, shape).experts]).toEqual([0, 1]);
    const routing = identity.route(logits, { ...shape, targets: [3, 1] });
    expect([...routing.experts]).toEqual([3, 1]);
    expect([...routing.weights]).toEqual([0.5, 0.5]);
  });

  test("refuses targets that do not fit", () => {
    for (const targets of [[1], [1, 4], [0, -1], [0, 1, 2]]) {
      const shape = { experts: 4, topK: 2, normalize: true, targets };
      expect(() => identity.route(logits, shape)).toThrow("targets");
    }
  });
});

describe("conformance", () => {
  for (const router of plugin.routers!) {
    test(router.name, () => testRouter(router, { picksLargest: router.name !== "identity" }));
  }

  const broken: [string, Partial<Router>][] = [
    ["chooses", { route: (logits, shape) => identity.route(logits, shape) }],
    ["sum to", { route: (logits, shape) => topK.route(logits, { ...shape, normalize: false }) }],
    ["changes its input", { route: (logits, shape) => topK.route(logits.sort().reverse(), shape) }],
    [
      "topK",
      { route: (l, s) => topK.route(l, { ...s, topK: Math.max(1, Math.min(2, s.topK | 0)) }) },
    ],
    ["name", { name: "Top K" }],
  ];
  for (const [message, change] of broken) {
    test(`a router that is wrong fails: ${message}`, () => {
      expect(() => testRouter({ ...topK, ...change })).toThrow(message);
    });
  }
});

test("load-balancing loss", () => {
  const loss = (logits: number[], k: number) => {
    const row = Float32Array.from(logits);
    const { experts } = topK.route(row, { experts: row.length, topK: k, normalize: true });
    return loadBalance([row, row], [experts, experts], row.length);
  };
  const { uniform_E8_k1, concentrated_E8_k1_logit10, uniform_E4_k2 } = golden.load_balance;
  expect(loss(new Array(8).fill(0), 1)).toBe(uniform_E8_k1);
  expect(loss([0, 0, 10, 0, 0, 0, 0, 0], 1)).toBeCloseTo(concentrated_E8_k1_logit10, 12);
  expect(loss(new Array(4).fill(0), 2)).toBe(uniform_E4_k2);
});
