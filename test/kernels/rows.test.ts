// Ops that work on single rows equal their scalar forms bit for bit, in every library.
import { expect, test } from "bun:test";
import { Activation, EmbedFormat } from "../../core/native/abi.ts";
import { q6_k } from "../../plugins/formats/q6-k.ts";
import { q8_0 } from "../../plugins/formats/q8-0.ts";
import {
  bits,
  libraries,
  plainRows,
  Random,
  runOps,
  type TestArguments,
  type TestStep,
} from "./harness.ts";
import * as oracle from "./oracle.ts";

const f = Math.fround;

/** Rows of `columns` values, `stride` apart, the gaps filled with `filler`. */
function strided(rows: Float32Array[], stride: number, filler: number): Float32Array {
  const out = new Float32Array(rows.length * stride).fill(filler);
  rows.forEach((row, r) => {
    out.set(row, r * stride);
  });
  return out;
}

test.each(libraries)("$isa: norm and quantization", (native) => {
  const random = new Random(7);
  for (const columns of [1, 15, 16, 31, 100, 576, 2560]) {
    const rows = Array.from({ length: 5 }, () => random.floats(columns));
    rows[1]!.fill(0);
    const weight = random.floats(columns);
    const [inStride, outStride, qStride] = [columns + 3, columns + 1, columns + 7];
    const out = new Float32Array(5 * outStride).fill(9);
    const q = new Int8Array(5 * qStride).fill(99);
    const qScale = new DataView(new ArrayBuffer(5 * 8));
    const args = { in: strided(rows, inStride, 5), weight, inStride, columns, groups: 1 };
    const quantized = { q, qScale, qStride };
    for (const withOut of [true, false]) {
      const target: TestArguments = withOut ? { out, outStride } : {};
      const norm = { ...args, ...quantized, ...target, epsilon: 1e-5 };
      runOps(native, [{ op: "norm", struct: "Norm", args: norm }], plainRows(5), 2);
      rows.forEach((row, r) => {
        const expected = oracle.rmsNorm(row, weight, 1e-5);
        const { q: whole, inverse, sum } = oracle.quantize(expected);
        expect(bits(out.slice(r * outStride, r * outStride + columns))).toEqual(bits(expected));
        expect(q.slice(r * qStride, r * qStride + columns)).toEqual(
          whole as Int8Array<ArrayBuffer>,
        );
        expect([...q.slice(r * qStride + columns, (r + 1) * qStride)]).toEqual(Array(7).fill(0));
        expect(qScale.getFloat32(r * 8, true)).toBe(inverse);
        expect(qScale.getInt32(r * 8 + 4, true)).toBe(sum);
        expect(out[r * outStride + columns]).toBe(9);
      });
    }
  }
});

test.each(libraries)("$isa: norm of heads, without weight, of gathered rows", (native) => {
  const random = new Random(8);
  const [groups, columns] = [3, 20];
  const rows = Array.from({ length: 4 }, () => random.floats(groups * columns));
  const x = strided(rows, 60, 0);
  const weight = random.floats(columns);
  const out = new Float32Array(2 * 60);
  const common = { in: x, inStride: 60, out, outStride: 60, epsilon: 1e-6, columns };
  const step: TestStep = { ...plainRows(4), logits: [3, 1] };
  const heads = { ...common, weight, groups, rows: 1 };
  runOps(native, [{ op: "norm", struct: "Norm", args: heads }], step);
  for (const [i, r] of [3, 1].entries()) {
    for (let g = 0; g < groups; g += 1) {
      const head = rows[r]!.slice(g * columns, (g + 1) * columns);
      const at = i * 60 + g * columns;
      const expected = oracle.rmsNorm(head, weight, 1e-6);
      expect(bits(out.slice(at, at + columns))).toEqual(bits(expected));
    }
  }
  const plain = { ...common, columns: 60, groups: 1, out: x };
  runOps(native, [{ op: "norm", struct: "Norm", args: plain }], plainRows(4));
  rows.forEach((row, r) => {
    const expected = oracle.rmsNorm(row, undefined, 1e-6);
    expect(bits(x.slice(r * 60, r * 60 + 60))).toEqual(bits(expected));
  });
});

test.each(libraries)("$isa: quantization alone, in blocks, with ties and extremes", (native) => {
  const width = 83;
  const row = new Random(9).floats(width);
  // 127 / 127 = 1: halves are ties, to even.
  row.set([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, -127, oracle.nextUp(0.5)]);
  const block = 32;
  const q = new Int8Array(96).fill(99);
  const qScale = new DataView(new ArrayBuffer(3 * 8));
  const args = { in: row, inStride: width, q, qScale, qStride: 96, qBlock: block };
  const norm = { ...args, columns: width, groups: 1, epsilon: -1 };
  runOps(native, [{ op: "norm", struct: "Norm", args: norm }], plainRows(1));
  expect([...q.slice(0, 9)]).toEqual([127, 0, 2, 2, 0, -2, -2, -127, 1]);
  for (let b = 0; b < 3; b += 1) {
    const end = Math.min(width, (b + 1) * block);
    const expected = oracle.quantize(row.slice(b * block, end));
    expect(q.slice(b * block, end)).toEqual(expected.q as Int8Array<ArrayBuffer>);
    expect(qScale.getFloat32(b * 8, true)).toBe(expected.inverse);
    expect(qScale.getInt32(b * 8 + 4, true)).toBe(expected.sum);
  }
});

test.each(libraries)("$isa: rope, half-split and interleaved, whole and partial", (native) => {
  const random = new Random(10);
  const headDim = 40;
  for (const [dimensions, interleaved] of [
    [40, 0],
    [32, 0],
    [40, 1],
    [24, 1],
  ] as const) {
    const table = random.floats(50 * dimensions, 0.4);
    const q = random.floats(3 * 2 * headDim);
    const k = random.floats(3 * headDim);
    const expected = [q.slice(), k.slice()] as const;
    const strides = { qStride: 2 * headDim, kStride: headDim, headsQ: 2, headsK: 1, headDim };
    const args = { q, k, table, ...strides, dimensions, interleaved };
    const step = { sequences: [{ rows: 3, position: 47 }] };
    runOps(native, [{ op: "rope", struct: "Rope", args }], step);
    for (const x of expected) {
      const heads = x.length / headDim / 3;
      for (let i = 0; i < (dimensions / 2) * heads * 3; i += 1) {
        const pair = i % (dimensions / 2);
        const head = Math.floor(i / (dimensions / 2));
        const position = 47 + Math.floor(head / heads);
        const a = head * headDim + (interleaved ? 2 * pair : pair);
        const b = interleaved ? a + 1 : a + dimensions / 2;
        const at = position * dimensions + 2 * pair;
        [x[a], x[b]] = oracle.turn(x[a]!, x[b]!, table[at]!, table[at + 1]!);
      }
    }
    expect(bits(q)).toEqual(bits(expected[0]));
    expect(bits(k)).toEqual(bits(expected[1]));
  }
});

test.each(libraries)("$isa: elementwise", (native) => {
  const random = new Random(11);
  const columns = 53;
  const a = random.floats(2 * columns, 8);
  const b = random.floats(2 * columns);
  a.set([0, -0, 200, -200, 88.8, -88, 1e-20, Number.POSITIVE_INFINITY]);
  const activations: Record<string, (x: number) => number> = {
    none: (x) => x,
    relu2: oracle.relu2,
    silu: oracle.silu,
    gelu: oracle.gelu,
    softcap: (x) => oracle.softcap(x, f(0.3)),
  };
  const run = (kind: number, activation: number) => {
    const out = new Float32Array(2 * columns);
    const strides = { aStride: columns, bStride: columns, outStride: columns, columns };
    const args = { a, b, out, ...strides, kind, activation, scale: 0.3 };
    runOps(native, [{ op: "elementwise", struct: "Elementwise", args }], plainRows(2), 2);
    return out;
  };
  const same = (out: Float32Array, expected: (x: number, y: number) => number) =>
    expect(bits(out)).toEqual(bits(a.map((x, i) => expected(x, b[i]!))));
  same(run(0, 0), (x, y) => oracle.fma(y, f(0.3), x));
  same(run(1, 0), (x, y) => f(x * y));
  const first = (i: number) => b[i < columns ? 0 : columns]!;
  const gated = a.map((x, i) => f(x * f(1 / f(1 + oracle.exp(-first(i))))));
  expect(bits(run(4, 0))).toEqual(bits(gated));
  a[7] = 3;
  for (const [name, apply] of Object.entries(activations)) {
    const code = Activation[name as keyof typeof Activation];
    same(run(2, code), apply);
    same(run(3, code), (x, y) => f(f(apply(x)) * y));
  }
});

test.each(libraries)("$isa: embed from every storage type", (native) => {
  const random = new Random(12);
  const columns = 256;
  const values = Array.from({ length: 3 }, () => random.floats(columns));
  const tokens = [2, 0, 2];
  const embed = (table: ArrayBufferView, rowBytes: number, format: number) => {
    const out = new Float32Array(3 * 260);
    const args = { table, rowBytes, out, columns, outStride: 260, format, scale: 0.7 };
    runOps(native, [{ op: "embed", struct: "Embed", args }], { ...plainRows(3), tokens });
    return tokens.map((_, r) => bits(out.slice(r * 260, r * 260 + columns)));
  };
  const expected = (rows: Float32Array[]) =>
    tokens.map((t) => bits(rows[t]!.map((v) => f(v * f(0.7)))));
  const floats = strided(values, columns, 0);
  expect(embed(floats, columns * 4, EmbedFormat.f32)).toEqual(expected(values));
  const halves = Float16Array.from(floats);
  expect(embed(halves, columns * 2, EmbedFormat.f16)).toEqual(
    expected(values.map((row) => row.map(oracle.half))),
  );
  const brain = Uint16Array.from(bits(floats), (word) => word >>> 16);
  const cut = (row: Float32Array) =>
    new Float32Array(bits(row).map((word) => word & 0xffff0000).buffer);
  expect(embed(brain, columns * 2, EmbedFormat.bf16)).toEqual(expected(values.map(cut)));
});

test.each(libraries)("$isa: embed from q8_0 and q6_k", (native) => {
  const columns = 512;
  const random = new Random(15);
  for (const quantizer of [q8_0, q6_k]) {
    const bytes = quantizer.byteLength([3, columns]);
    const table = Uint8Array.from({ length: bytes }, () => random.u32());
    // Scales are halves: make them finite and small, every other bit is free.
    const [unit, at] = quantizer === q8_0 ? [34, 0] : [210, 208];
    for (let i = at; i < bytes; i += unit) table.set([random.u32(), 0x20], i);
    const decoded = quantizer.decode({ bytes: table }, [3, columns]);
    const out = new Float32Array(2 * columns);
    const format = quantizer === q8_0 ? EmbedFormat.q80 : EmbedFormat.q6K;
    const strides = { columns, outStride: columns, rowBytes: bytes / 3 };
    const args = { table, out, format, scale: 1, ...strides };
    const step = { ...plainRows(2), tokens: [2, 1] };
    runOps(native, [{ op: "embed", struct: "Embed", args }], step);
    expect(bits(out.slice(0, columns))).toEqual(bits(decoded.slice(2 * columns)));
    expect(bits(out.slice(columns))).toEqual(bits(decoded.slice(columns, 2 * columns)));
  }
});

test.each(libraries)("$isa: top_k with ties, and the sum that softmax needs", (native) => {
  const random = new Random(13);
  for (const [columns, k] of [
    [5, 5],
    [100, 1],
    [1003, 40],
  ] as const) {
    const rows = Array.from({ length: 2 }, () =>
      random.floats(columns).map((v) => Math.round(v * 4)),
    );
    const ids = new Uint32Array(2 * k);
    const values = new Float32Array(2 * k);
    const stats = new Float32Array(4);
    const logits = strided(rows, columns + 1, 1e9);
    const args = { logits, ids, values, stats, stride: columns + 1, columns, k };
    const step = { ...plainRows(2), logits: [0, 1] };
    runOps(native, [{ op: "top_k", struct: "TopK", args }], step, 2);
    rows.forEach((row, r) => {
      const order = [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b).slice(0, k);
      expect([...ids.slice(r * k, (r + 1) * k)]).toEqual(order);
      expect([...values.slice(r * k, (r + 1) * k)]).toEqual(order.map((i) => row[i]!));
      const most = Math.max(...row);
      const exact = Math.log(row.reduce((a, v) => a + Math.exp(v - most), 0));
      expect(stats[2 * r]).toBe(most);
      expect(stats[2 * r + 1]).toBeCloseTo(exact, 5);
    });
  }
});
