// The aarch64 libraries under an emulator: linears, heads and unpacking give the bits of the oracle.
import { expect, test } from "bun:test";
import formats from "../../plugins/formats/index.ts";
import { runOps, type TestLibrary, type TestOp } from "../kernels/harness.ts";
import { emulated } from "../kernels/replay.ts";
import { generator } from "../support/random.ts";
import { floatCase, floats, ternaryCase, trits } from "./cases.ts";
import { activations, gates, rowScales } from "./harness.ts";
import { topOf } from "./head-harness.ts";
import { type LinearCase, linear } from "./oracle.ts";

const stepOf = (rows: number) => ({ sequences: [{ rows, position: 0 }] });

/** Bytes enough for a packed [n][k] in any layout. */
function roomFor(n: number, k: number): Uint8Array {
  return new Uint8Array((Math.ceil(n / 16) * 16 + 16) * (k + 64) * 4);
}

function packJob(format: string, c: LinearCase, out: Uint8Array): TestOp {
  const float = c.weights instanceof Float32Array ? 1 : 0;
  const { n, k, weights } = c;
  const args = { source: weights, sourceBytes: weights.byteLength, out, n, k, float };
  const whole = { ...args, blockStep: 1, totalRows: n };
  return { op: "linear", format, struct: "PackJob", args: whole };
}

/** Outputs; weights are packed first, or are `raw` bytes that the layout reads as they are. */
function outputs(
  library: TestLibrary,
  format: string,
  c: LinearCase,
  raw?: Uint8Array,
): Float32Array {
  const { values, stride } = activations(c);
  const gate = gates[c.gate ?? "none"];
  const columns = gate === 0 ? c.n : c.n / 2;
  const weight = raw ?? roomFor(c.n, c.k);
  const out = new Float32Array(c.rows * columns);
  const run: TestOp = {
    op: "linear",
    format,
    struct: "Linear",
    args: {
      x: values,
      xScale: rowScales(c),
      weight,
      out,
      ...(c.scale && { scale: c.scale }),
      ...(c.bias && { bias: c.bias }),
      ...(c.add && { add: c.add }),
      xStride: stride,
      outStride: columns,
      addStride: columns,
      n: c.n,
      k: c.k,
      group: c.group ?? 0,
      gate,
      multiplier: c.multiplier ?? 1,
      qBlock: c.qBlock ?? 0,
    },
  };
  const ops = raw ? [run] : [packJob(format, c, weight), run];
  runOps(library, ops, stepOf(c.rows), 2);
  return out;
}

/** The `top` largest of each row by way of a coarse plane. */
function screened(library: TestLibrary, format: string, c: LinearCase, top: number) {
  const { n, k, rows } = c;
  const [ids, values] = [new Uint32Array(rows * top), new Float32Array(rows * top)];
  const weight = roomFor(n, k);
  const args = {
    x: c.x as Float32Array,
    weight,
    plane: roomFor(n, k),
    work: roomFor(n * rows, 16),
    ids,
    values,
    xStride: k,
    logitsStride: n,
    n,
    k,
    top,
    multiplier: 1,
  };
  const names = ["columns", "pack", "prepare", "screen", "threshold", "rescore", "top"];
  const layouts = new Set(["columns", "pack", "threshold", "rescore"]);
  const ops = names.map(
    (name): TestOp => ({
      op: `head_${name}`,
      ...(layouts.has(name) && { format }),
      struct: "Head",
      args,
    }),
  );
  const step = { ...stepOf(rows), logits: Array.from({ length: rows }, (_, i) => i) };
  runOps(library, [packJob(format, c, weight), ...ops], step, 2);
  return { ids, values };
}

const bits = (values: Float32Array) => [...new Uint32Array(values.buffer)];

for (const library of emulated) {
  test(`${library.isa}: ternary linears`, () => {
    const cases = [
      ternaryCase(5, 3, 1, 1, { extras: true }),
      ternaryCase(33, 100, 3, 2),
      ternaryCase(100, 260, 8, 3, { extras: true, multiplier: 0.3 }),
      ternaryCase(64, 1540, 17, 4, { gate: "relu2", extras: true }),
      ternaryCase(36, 2048, 4, 5, { weights: "plus", inputs: "low" }),
      ternaryCase(36, 2048, 13, 6, { weights: "minus", inputs: "low" }),
      ternaryCase(96, 640, 9, 7, { group: 128, qBlock: 64, gate: "silu" }),
      ternaryCase(48, 200, 2, 8, { group: 64, extras: true }),
    ];
    for (const c of cases) {
      for (const format of ["t2", "t5"]) {
        expect(bits(outputs(library, format, c))).toEqual(bits(linear(c)));
      }
    }
  });

  test(`${library.isa}: ternary straight from i2_s bytes`, () => {
    const quantizer = formats.quantizers?.find((q) => q.format === "i2_s");
    for (const rows of [1, 6]) {
      const c = ternaryCase(36, 2048, rows, 3, { inputs: "low", extras: true });
      const values = Float32Array.from(c.weights, (t) => t * 0.5);
      const bytes = quantizer!.encode(values, [c.n, c.k]).bytes.slice();
      expect(bits(outputs(library, "i2_s", c, bytes))).toEqual(bits(linear(c)));
    }
  });

  test(`${library.isa}: float linears`, () => {
    const cases = [
      floatCase(5, 7, 1, 1, { extras: true }),
      floatCase(40, 100, 5, 2),
      floatCase(64, 72, 3, 3, { gate: "gelu" }),
    ];
    for (const c of cases) {
      for (const format of ["f32", "f16", "bf16"]) {
        expect(bits(outputs(library, format, c))).toEqual(bits(linear(c)));
      }
    }
  });

  test(`${library.isa}: screened heads`, () => {
    // More rows than are estimated together; columns that do not fill a vector.
    for (const [n, k, rows, top] of [
      [100, 72, 6, 3],
      [1043, 100, 3, 20],
    ] as const) {
      const c = floatCase(n, k, rows, n);
      for (const format of ["f32", "f16", "bf16"]) {
        const found = screened(library, format, c, top);
        const wanted = topOf(linear(c), n, top);
        expect([...found.ids]).toEqual([...wanted.ids]);
        expect(bits(found.values)).toEqual(bits(wanted.values));
      }
    }
  });

  test(`${library.isa}: unpacking floats`, () => {
    const [n, k] = [20, 256];
    for (const format of ["f32", "f16", "bf16", "q8_0", "q6_k"]) {
      const quantizer = formats.quantizers?.find((q) => q.format === format);
      const { bytes } = quantizer!.encode(floats(n * k, generator(4)), [n, k]);
      const plain = quantizer!.decode({ bytes }, [n, k]).slice();
      const source = { n, k, rows: 1, weights: plain, x: new Float32Array(0) };
      const [wanted, out] = [roomFor(n, k), roomFor(n, k)];
      const job = packJob("f32", source, out);
      const args = { ...job.args, source: bytes.slice(), sourceBytes: bytes.byteLength };
      runOps(library, [packJob("f32", source, wanted)], stepOf(1));
      runOps(library, [{ ...job, unpack: format, args }], stepOf(1));
      expect(Buffer.compare(out, wanted)).toBe(0);
    }
  });

  test(`${library.isa}: unpacking`, () => {
    const [n, k] = [32, 256];
    const plain = trits(n * k, "random", generator(9));
    for (let i = 0; i < plain.length; i += 32) plain[i] = 1;
    const wanted = roomFor(n, k);
    const source = { n, k, rows: 1, weights: plain, x: new Int8Array(0) };
    runOps(library, [packJob("t2", source, wanted)], stepOf(1));
    for (const quantizer of formats.quantizers ?? []) {
      if (!quantizer.ternary || /^tl/.test(quantizer.format)) continue;
      const values = Float32Array.from(plain, (t) => t * 0.5);
      const { bytes } = quantizer.encode(values, [n, k]);
      const out = roomFor(n, k);
      const job = packJob("t2", source, out);
      const args = { ...job.args, source: bytes.slice(), sourceBytes: bytes.byteLength };
      runOps(library, [{ ...job, unpack: quantizer.format, args }], stepOf(1));
      expect(Buffer.compare(out, wanted)).toBe(0);
    }
  });
}
