// Routers: golden cases, the conformance suite, bad shapes, the load-balancing loss.
import { describe, expect, test } from "bun:test";
import type { Router, RouterShape, WrinkleFreeError } from "../../core/index.ts";
import { testRouter } from "../../core/testing/router.ts";
import { identity } from "../../plugins/routers/identity.ts";
import plugin from "../../plugins/routers/index.ts";
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

describe("bias, groups and scale", () => {
  const logits = Float32Array.of(3, 1, 0, 2, 2.5, -1, 0.5, 0.25);
  const shape = { experts: 8, topK: 2, normalize: true };
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

  test("a bias changes the choice, not the weights", () => {
    const bias = new Float32Array(8);
    bias[5] = 1;
    const routing = topKSigmoid.route(logits, { ...shape, bias });
    expect([...routing.experts]).toEqual([5, 0]);
    const [a, b] = [sigmoid(-1), sigmoid(3)];
    expect(routing.weights[0]).toBeCloseTo(a / (a + b), 6);
  });

  test("experts come from the groups with the best pairs", () => {
    // Pairs: (3, 1), (2, 0), (2.5, -1), (0.5, 0.25): the second group loses to the first only.
    const groups = { ...shape, groups: 4, groupsUsed: 2 };
    const [best, second] = [sigmoid(3) + sigmoid(1), sigmoid(2) + sigmoid(0)];
    expect(best).toBeGreaterThan(second);
    expect([...topKSigmoid.route(logits, groups).experts]).toEqual([0, 3]);
    expect([...topKSigmoid.route(logits, { ...groups, groupsUsed: 4 }).experts]).toEqual([0, 4]);
  });

  test("weights are scaled", () => {
    const { weights } = topK.route(logits, { ...shape, scale: 2.5 });
    expect(weights[0]! + weights[1]!).toBeCloseTo(2.5, 6);
  });

  test("what does not fit is refused by field", () => {
    const refusals: [Partial<RouterShape>, string][] = [
      [{ bias: new Float32Array(7) }, "exp_probs_b"],
      [{ bias: new Float32Array(8).fill(NaN) }, "exp_probs_b"],
      [{ groups: 3, groupsUsed: 1 }, "expert_group_count"],
      [{ groups: 8, groupsUsed: 1 }, "expert_group_used_count"],
      [{ groups: 4 }, "expert_group_used_count"],
    ];
    for (const [change, field] of refusals) {
      for (const router of [topK, topKSigmoid]) {
        try {
          router.route(logits, { ...shape, ...change });
          expect().fail(`${router.name} accepts ${JSON.stringify(change)}`);
        } catch (error) {
          expect((error as WrinkleFreeError).details.field).toBe(field);
        }
      }
    }
  });
});
