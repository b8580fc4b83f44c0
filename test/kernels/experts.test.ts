// A mixture of experts on a step's rows equals a loop over rows and experts, bit for bit.
import { expect, test } from "bun:test";
import { Activation, layouts } from "../../core/native/abi.ts";
import type { Native } from "../../core/native/select.ts";
import { bits, libraries, natives, plainRows, Random, runOps, type TestOp } from "./harness.ts";
import * as oracle from "./oracle.ts";

const experts = 5;
const hidden = 48;
const inner = 32;
const topK = 2;

/** Stacked trits of every expert, packed by the library's own layout; one scale a row. */
function stack(native: Native, n: number, k: number, gate: boolean, random: Random) {
  const entry = native.find("linear", "t2");
  if (entry === undefined) throw new Error("no t2 layout");
  const stride = Math.ceil(native.host.packedBytes(entry, n, k) / 64) * 64;
  const weight = new Uint8Array(stride * experts);
  for (let e = 0; e < experts; e += 1) {
    const parts = gate ? 2 : 1;
    for (let part = 0; part < parts; part += 1) {
      const values = Int8Array.from({ length: (n / parts) * k }, () => random.below(3) - 1);
      const job = { source: values, out: weight.subarray(e * stride), n: n / parts, k };
      const place = { firstBlock: part, blockStep: parts, totalRows: n };
      const args = { ...job, ...place };
      const pack: TestOp = { op: "linear", format: "t2", struct: "PackJob", args };
      const library = libraries.find(({ isa }) => isa === native.isa);
      runOps(library!, [pack], plainRows(1));
    }
  }
  return { weight, weightStride: stride, scale: random.floats(experts * n).map(Math.abs) };
}

function model(native: Native) {
  const random = new Random(21);
  return {
    up: stack(native, 2 * inner, hidden, true, random),
    down: stack(native, hidden, inner, false, random),
    subNorm: random.floats(experts * inner),
  };
}

const quantized = (rows: number) => ({
  q: new Int8Array(rows * 64),
  qScale: new Uint8Array(rows * layouts.RowScale.size),
  qStride: 64,
});

/** The feed-forward of one expert for one row, op by op. */
function single(native: Native, m: ReturnType<typeof model>, x: Float32Array, e: number) {
  const library = libraries.find(({ isa }) => isa === native.isa)!;
  const linear = (p: (typeof m)["up"], input: ReturnType<typeof quantized>, n: number, k: number) =>
    ({
      x: input.q,
      xScale: input.qScale,
      xStride: 64,
      weight: p.weight.subarray(e * p.weightStride),
      scale: p.scale.subarray(e * n),
      n,
      k,
      multiplier: 1,
    }) as const;
  const [a, b] = [quantized(1), quantized(1)];
  const h = new Float32Array(inner);
  const y = new Float32Array(hidden);
  const norm = { in: x, inStride: hidden, columns: hidden, groups: 1, epsilon: -1, ...a };
  const gated = { out: h, outStride: inner, gate: Activation.relu2 };
  const weight = m.subNorm.subarray(e * inner);
  const sub = { in: h, inStride: inner, columns: inner, groups: 1, epsilon: 1e-6, weight, ...b };
  const ops: TestOp[] = [
    { op: "norm", struct: "Norm", args: norm },
    {
      op: "linear",
      format: "t2",
      struct: "Linear",
      args: { ...linear(m.up, a, 2 * inner, hidden), ...gated },
    },
    { op: "norm", struct: "Norm", args: sub },
    {
      op: "linear",
      format: "t2",
      struct: "Linear",
      args: { ...linear(m.down, b, hidden, inner), out: y, outStride: hidden },
    },
  ];
  runOps(library, ops, plainRows(1));
  return y;
}

/** All rows at once, through the ops for experts. */
function together(
  native: Native,
  m: ReturnType<typeof model>,
  x: Float32Array,
  logits: Float32Array,
  add: Float32Array,
  threads: number,
) {
  const rows = x.length / hidden;
  const slots = rows * topK;
  const route = { ids: new Uint32Array(slots), weights: new Float32Array(slots) };
  const order = {
    starts: new Uint32Array(experts + 1),
    slots: new Uint32Array(slots),
    rowOf: new Uint32Array(slots),
    expertOf: new Uint32Array(slots),
  };
  const counts = new BigUint64Array(experts);
  const [a, b, c] = [quantized(rows), quantized(slots), quantized(slots)];
  const h = new Float32Array(slots * inner);
  const y = new Float32Array(slots * hidden);
  const out = new Float32Array(rows * hidden);
  const entry = native.find("linear", "t2")!;
  const linear = { run: entry.run, units: entry.units, starts: order.starts, experts, topK };
  const common = { ...linear, xStride: 64, multiplier: 1 };
  const norm = { in: x, inStride: hidden, columns: hidden, groups: 1, epsilon: -1, ...a };
  const subNorm = { columns: inner, groups: 1, epsilon: 1e-6, multiplier: topK };
  const index = { weight: m.subNorm, weightIndex: order.expertOf };
  const ops: TestOp[] = [
    { op: "norm", struct: "Norm", args: norm },
    {
      op: "route",
      struct: "Route",
      args: { logits, stride: experts, experts, topK, normalize: 1, scale: 1, ...route },
    },
    { op: "group", struct: "Group", args: { ids: route.ids, ...order, counts, experts, topK } },
    {
      op: "gather",
      struct: "Gather",
      args: {
        in: a.q,
        out: b.q,
        index: order.rowOf,
        scaleIn: a.qScale,
        scaleOut: b.qScale,
        inStride: 64,
        outStride: 64,
        bytes: 64,
        multiplier: topK,
      },
    },
    {
      op: "linear_experts",
      struct: "Experts",
      args: {
        ...common,
        ...{ x: b.q, xScale: b.qScale, n: 2 * inner, k: hidden, gate: Activation.relu2 },
        ...{ weight: m.up.weight, weightStride: m.up.weightStride },
        ...{ scale: m.up.scale, scaleStride: 2 * inner * 4, out: h, outStride: inner },
      },
    },
    { op: "norm", struct: "Norm", args: { in: h, inStride: inner, ...subNorm, ...index, ...c } },
    {
      op: "linear_experts",
      struct: "Experts",
      args: {
        ...common,
        ...{ x: c.q, xScale: c.qScale, n: hidden, k: inner },
        ...{ weight: m.down.weight, weightStride: m.down.weightStride },
        ...{ scale: m.down.scale, scaleStride: hidden * 4, out: y, outStride: hidden },
      },
    },
    {
      op: "scatter",
      struct: "Scatter",
      args: {
        ...{ in: y, slots: order.slots, weights: route.weights, add, out, topK },
        ...{ inStride: hidden, addStride: hidden, outStride: hidden, columns: hidden },
      },
    },
  ];
  runOps(libraries.find(({ isa }) => isa === native.isa)!, ops, plainRows(rows), threads);
  return { out, route, counts };
}

test.each(natives)("$isa: experts on 1..70 rows and 1..3 threads", (native) => {
  const m = model(native);
  const random = new Random(22);
  for (const [i, rows] of [1, 2, 9, 70].entries()) {
    const x = random.floats(rows * hidden);
    const add = random.floats(rows * hidden);
    const logits = random.floats(rows * experts);
    // An expert that nobody chooses.
    for (let r = 0; r < rows; r += 1) logits[r * experts + 3] = -100;
    const { out, route, counts } = together(native, m, x, logits, add, 1 + (i % 3));
    const expected = new Float32Array(out.length);
    for (let r = 0; r < rows; r += 1) {
      const row = x.slice(r * hidden, (r + 1) * hidden);
      const parts = Array.from({ length: topK }, (_, j) =>
        single(native, m, row, route.ids[r * topK + j]!),
      );
      const [first, second] = [route.weights[r * topK]!, route.weights[r * topK + 1]!];
      for (let d = 0; d < hidden; d += 1) {
        const sum = oracle.fma(parts[1]![d]!, second, Math.fround(parts[0]![d]! * first));
        expected[r * hidden + d] = sum + add[r * hidden + d]!;
      }
    }
    expect(bits(out)).toEqual(bits(expected));
    const chosen = (e: number) => BigInt(route.ids.filter((id) => id === e).length);
    expect([...counts]).toEqual([0, 1, 2, 3, 4].map(chosen));
    expect(counts[3]).toBe(0n);
  }
});
