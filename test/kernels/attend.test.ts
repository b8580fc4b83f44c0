// Attention over pages equals the scalar form bit for bit, however rows are batched and split.
import { describe, expect, test } from "bun:test";
import { KvType } from "../../core/native/abi.ts";
import { kvLayerBytes } from "../../core/native/kv.ts";
import {
  bits,
  libraries,
  natives,
  Random,
  runOps,
  type TestLibrary,
  type TestOp,
  type TestSequence,
} from "./harness.ts";
import { attend, half, int8Page, type Stored } from "./oracle.ts";

interface Shape {
  heads: number;
  kvHeads: number;
  headDim: number;
  type: number;
}

/** Keys, values and queries of a sequence; a longer one begins like a shorter one. */
function sequenceData(shape: Shape, length: number, seed: number) {
  const width = shape.kvHeads * shape.headDim;
  return {
    k: new Random(seed * 3).floats(length * width),
    v: new Random(seed * 3 + 1).floats(length * width),
    q: new Random(seed * 3 + 2).floats(length * shape.heads * shape.headDim, 0.7),
  };
}

const scale = 0.11;

/** A cache that several calls of `step` fill; each returns the attention of its rows. */
class Cache {
  readonly #native: TestLibrary;
  readonly #shape: Shape;
  readonly #kv: Uint8Array;
  readonly #layerBytes: number;

  constructor(native: TestLibrary, shape: Shape, pages: number) {
    this.#native = native;
    this.#shape = shape;
    this.#layerBytes = kvLayerBytes(shape.kvHeads, shape.headDim, shape.type, shape.type);
    // Garbage where nothing was stored: NaN in every type that has it. Two layers a page.
    this.#kv = new Uint8Array(pages * 2 * this.#layerBytes).fill(255);
  }

  step(parts: { sequence: TestSequence; seed: number }[], threads: number, split: boolean) {
    const { heads, kvHeads, headDim, type } = this.#shape;
    const k = this.#gather(parts, "k");
    const v = this.#gather(parts, "v");
    const q = this.#gather(parts, "q");
    const rows = q.length / (heads * headDim);
    const out = new Float32Array(rows * heads * headDim).fill(Number.NaN);
    const partials = new Float32Array(16 * heads * 4 * (Math.ceil(headDim / 16) * 16 + 16));
    const place = {
      kv: this.#kv,
      pageBytes: 2 * this.#layerBytes,
      layerOffset: this.#layerBytes,
      kvHeads,
      headDim,
      kvTypeK: type,
      kvTypeV: type,
    };
    const args = {
      ...place,
      q,
      out,
      partials,
      partialsBytes: partials.byteLength,
      qStride: heads * headDim,
      outStride: heads * headDim,
      heads,
      scale,
      combined: split ? 1 : 0,
    };
    const ops: TestOp[] = [
      {
        op: "store",
        struct: "Store",
        args: { ...place, k, v, kStride: kvHeads * headDim, vStride: kvHeads * headDim },
      },
      { op: "attend", struct: "Attend", args },
    ];
    if (split) ops.push({ op: "attend_combine", struct: "Attend", args });
    runOps(this.#native, ops, { sequences: parts.map((part) => part.sequence) }, threads);
    return out;
  }

  #gather(parts: { sequence: TestSequence; seed: number }[], name: "k" | "v" | "q") {
    const width = (name === "q" ? this.#shape.heads : this.#shape.kvHeads) * this.#shape.headDim;
    const rows = parts.map(({ sequence: { position, rows }, seed }) =>
      sequenceData(this.#shape, position + rows, seed)[name].subarray(position * width),
    );
    return Float32Array.from(rows.flatMap((row) => [...row]));
  }
}

function oracle(shape: Shape, length: number, seed: number, row: number): Float32Array {
  const { k, v, q } = sequenceData(shape, length, seed);
  const { heads, kvHeads, headDim, type } = shape;
  const stored = (data: Float32Array, head: number): Stored[] =>
    Array.from({ length: row + 1 }, (_, p) => {
      const at = (p * kvHeads + head) * headDim;
      const values = data.slice(at, at + headDim);
      return type === KvType.i8 ? int8Page(values) : values.map(half);
    });
  const out = new Float32Array(heads * headDim);
  for (let h = 0; h < heads; h += 1) {
    const at = (row * heads + h) * headDim;
    const group = Math.floor(h / (heads / kvHeads));
    const result = attend(q.slice(at, at + headDim), stored(k, group), stored(v, group), scale);
    out.set(result, h * headDim);
  }
  return out;
}

const shapes: Shape[] = [
  { heads: 8, kvHeads: 2, headDim: 32, type: KvType.f16 },
  { heads: 9, kvHeads: 3, headDim: 20, type: KvType.f16 },
  // So many kv heads that a unit of a decode step takes several.
  { heads: 44, kvHeads: 22, headDim: 16, type: KvType.f16 },
  { heads: 8, kvHeads: 1, headDim: 48, type: KvType.i8 },
  { heads: 2, kvHeads: 2, headDim: 100, type: KvType.i8 },
];

describe.each(shapes)("%o", (shape) => {
  const length = 300;
  const pages = [9, 3, 7, 1, 0, 12, 5, 2, 11, 4];
  const width = shape.heads * shape.headDim;
  const checked = [0, 1, 30, 31, 32, 63, 64, 127, 128, 129, 200, 255, 256, 299];
  const whole = Object.fromEntries(checked.map((row) => [row, oracle(shape, length, 5, row)]));

  test.each(libraries)(
    "$isa: one chunk, many chunks, decode",
    (native) => {
      const all = [[1, 31, 33, 63, 7, 100, 65], [300], [128, 128, 16, 16, 12], [250, 1, 1, 48]];
      // An emulator is slow.
      const chunkings = natives.some(({ isa }) => isa === native.isa) ? all : all.slice(0, 1);
      for (const [i, chunks] of chunkings.entries()) {
        const cache = new Cache(native, shape, 16);
        const results: Float32Array[] = [];
        let position = 0;
        for (const rows of chunks) {
          const part = { sequence: { rows, position, pages }, seed: 5 };
          results.push(cache.step([part], 1 + (i % 3), i % 2 === 0));
          position += rows;
        }
        const together = Float32Array.from(results.flatMap((rows) => [...rows]));
        for (const row of checked) {
          expect(bits(together.slice(row * width, (row + 1) * width))).toEqual(bits(whole[row]!));
        }
      }
    },
    60_000,
  );
});

test.each(libraries)("$isa: several sequences in one step", (native) => {
  const shape = shapes[0]!;
  const width = shape.heads * shape.headDim;
  const cache = new Cache(native, shape, 16);
  const a = { rows: 130, position: 0, pages: [0, 1, 2, 3, 4] };
  const b = { rows: 40, position: 0, pages: [5, 6] };
  const c = { rows: 3, position: 0, pages: [7] };
  cache.step(
    [a, b, c].map((sequence, i) => ({ sequence, seed: i + 1 })),
    2,
    true,
  );
  const next = [
    { sequence: { ...a, position: 130, rows: 1 }, seed: 1 },
    { sequence: { ...b, position: 40, rows: 9 }, seed: 2 },
    { sequence: { ...c, position: 3, rows: 1 }, seed: 3 },
  ];
  for (const split of [true, false]) {
    const out = cache.step(next, 3, split);
    const row = (i: number) => bits(out.slice(i * width, (i + 1) * width));
    expect(row(0)).toEqual(bits(oracle(shape, 131, 1, 130)));
    expect(row(1)).toEqual(bits(oracle(shape, 49, 2, 40)));
    expect(row(9)).toEqual(bits(oracle(shape, 49, 2, 48)));
    expect(row(10)).toEqual(bits(oracle(shape, 4, 3, 3)));
  }
});
