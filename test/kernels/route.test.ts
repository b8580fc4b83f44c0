// Routing equals the routers' references: choice, ties, weights, bias, groups; and the balance of experts.
import { expect, test } from "bun:test";
import { RouteKind } from "../../core/native/abi.ts";
import { addressOf } from "../../core/native/memory.ts";
import type { Router, RouterShape } from "../../core/plugin/router.ts";
import { readUse } from "../../core/tape/expert-use.ts";
import { topK, topKSigmoid } from "../../plugins/routers/top-k.ts";
import { libraries, plainRows, Random, runOps, type TestOp } from "./harness.ts";

type Library = (typeof libraries)[number];

function route(native: Library, logits: Float32Array, kind: number, shape: RouterShape, more = {}) {
  const { experts, normalize, scale = 1, bias = 0, groups = 0, groupsUsed = 0 } = shape;
  const rows = logits.length / experts;
  const ids = new Uint32Array(rows * shape.topK);
  const weights = new Float32Array(rows * shape.topK);
  const sizes = { stride: experts, experts, topK: shape.topK, groups, groupsUsed };
  const args = { logits, ids, weights, ...sizes, kind, normalize: normalize ? 1 : 0, scale, bias };
  runOps(native, [{ op: "route", struct: "Route", args: { ...args, ...more } }], plainRows(rows));
  return { ids, weights };
}

test.each(libraries)("$isa: ties go to the lowest expert, fixed targets", (native) => {
  const logits = new Float32Array([1, 3, 3, -2, 0, 5, 5, 5, 5, 5]);
  const run = (topK: number, normalize: boolean, kind: number, targets?: Uint32Array) => {
    const shape = { experts: 5, topK, normalize };
    const { ids, weights } = route(native, logits, kind, shape, { targets: targets ?? 0 });
    return { ids: [...ids], weights: [...weights] };
  };
  const { softmax, fixed } = RouteKind;
  expect(run(2, true, softmax)).toEqual({ ids: [1, 2, 0, 1], weights: [0.5, 0.5, 0.5, 0.5] });
  const total = [...logits.slice(0, 5)].reduce((a, v) => a + Math.exp(v - 3), 0);
  expect(run(3, false, softmax).ids).toEqual([1, 2, 0, 0, 1, 2]);
  expect(run(3, false, softmax).weights[2]).toBeCloseTo(Math.exp(-2) / total, 6);
  expect(run(2, false, fixed)).toEqual({ ids: [0, 1, 0, 1], weights: [0.5, 0.5, 0.5, 0.5] });
  expect(run(2, false, fixed, new Uint32Array([4, 2])).ids).toEqual([4, 2, 4, 2]);
});

test.each(libraries)("$isa: softmax and sigmoid, bias, groups and scale", (native) => {
  const random = new Random(31);
  const routers: [Router, number][] = [
    [topK, RouteKind.softmax],
    [topKSigmoid, RouteKind.sigmoid],
  ];
  for (const experts of [1, 4, 24, 96]) {
    const bias = random.floats(experts).map((v) => v / 4);
    const plain: Partial<RouterShape>[] = [{}, { scale: 2.5 }, { bias }];
    const grouped = [2, 4].filter((groups) => experts % groups === 0).map((groups) => ({ groups }));
    const shapes = [
      ...plain,
      ...grouped.flatMap((own) => [
        { ...own, groupsUsed: 1 },
        { ...own, groupsUsed: own.groups - 1, bias, scale: 0.5 },
      ]),
    ];
    for (const options of shapes) {
      const group = experts / (options.groups ?? 1);
      const most = Math.min(6, group * (options.groupsUsed ?? 1));
      for (const normalize of [true, false]) {
        const shape = { experts, topK: Math.max(1, most), normalize, ...options };
        const logits = random.floats(3 * experts, 4);
        for (const [router, kind] of routers) {
          const { ids, weights } = route(native, logits, kind, shape);
          for (let r = 0; r < 3; r += 1) {
            const own = router.route(logits.slice(r * experts, (r + 1) * experts), shape);
            const at = r * shape.topK;
            expect([...ids.slice(at, at + shape.topK)]).toEqual([...own.experts]);
            own.weights.forEach((weight, i) => {
              expect(Math.abs(weights[at + i]! / weight - 1)).toBeLessThan(1e-5);
            });
          }
        }
      }
    }
  }
});

const golden = await Bun.file(new URL("../golden/formats.json", import.meta.url)).json();

/** The balance that `group` counts for two tokens of the same logits. */
function balance(native: Library, row: number[], k: number): number {
  const experts = row.length;
  const logits = Float32Array.from([...row, ...row]);
  const shape = { experts, topK: k, normalize: true };
  const { ids } = route(native, logits, RouteKind.softmax, shape);
  const slots = () => new Uint32Array(2 * k);
  const order = { slots: slots(), rowOf: slots(), expertOf: slots() };
  const counts = new BigUint64Array(experts);
  const probabilities = new Float64Array(experts);
  const starts = new Uint32Array(experts + 1);
  const sums = { counts, probabilities, logits, stride: experts };
  const args = { ids, starts, ...order, ...sums, experts, topK: k };
  const op: TestOp = { op: "group", struct: "Group", args };
  runOps(native, [op], plainRows(2));
  const at = { counts: addressOf(counts), probabilities: addressOf(probabilities) };
  return readUse({ experts, topK: k, ...at }).balance;
}

test.each(libraries)("$isa: balance of the golden cases", (native) => {
  const { uniform_E8_k1, concentrated_E8_k1_logit10, uniform_E4_k2 } = golden.load_balance;
  expect(balance(native, new Array(8).fill(0), 1)).toBeCloseTo(uniform_E8_k1, 6);
  const concentrated = balance(native, [0, 0, 10, 0, 0, 0, 0, 0], 1);
  expect(concentrated).toBeCloseTo(concentrated_E8_k1_logit10, 6);
  expect(balance(native, new Array(4).fill(0), 2)).toBeCloseTo(uniform_E4_k2, 6);
});
