// The screened head gives the same top logits as the full one, bit for bit, on real and hostile weights.
import { afterAll, expect, test } from "bun:test";
import { Registry } from "../../core/index.ts";
import type { Pool } from "../../core/native/host.ts";
import type { Native } from "../../core/native/select.ts";
import { standard } from "../../plugins/standard.ts";
import { generator } from "../support/random.ts";
import { natives, runLinear } from "./harness.ts";
import { Head, topOf } from "./head-harness.ts";

const pools = new Map<string, Pool>();
for (const [isa, native] of natives) pools.set(isa, native.host.createPool(2));
afterAll(() => {
  for (const pool of pools.values()) pool[Symbol.dispose]();
});

/** Normal deviates. */
function normals(count: number, random: () => number, size = 1): Float32Array {
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    return size * radius * Math.cos(2 * Math.PI * random());
  });
}

/** Rows that bf16 and f16 both hold exactly. */
function rounded(values: Float32Array): Float32Array {
  return Float32Array.from(values, (v) => {
    const scale = 2 ** (7 - Math.floor(Math.log2(Math.abs(v) || 1)));
    return Math.round(v * scale) / scale;
  });
}

/** Hidden states near rows of the head (a confident model), and plain noise (an unsure one). */
function hidden(
  weights: Float32Array,
  k: number,
  rows: number,
  confidence: number,
  random: () => number,
): Float32Array {
  const n = weights.length / k;
  const x = normals(rows * k, random);
  for (let r = 0; r < rows; r++) {
    const row = Math.floor(random() * n);
    const own = weights.subarray(row * k, (row + 1) * k);
    const norm = Math.sqrt(own.reduce((sum, v) => sum + v * v, 0) / k) || 1;
    for (let i = 0; i < k; i++) x[r * k + i]! += (confidence * own[i]!) / norm;
  }
  return x;
}

const bits = (values: Float32Array) => [...new Uint32Array(values.buffer)];

interface Run {
  readonly weights: Float32Array;
  readonly k: number;
  readonly x: Float32Array;
  readonly tops: readonly number[];
  readonly format?: string;
  readonly multiplier?: number;
}

/** Compares screened and full heads; returns the mean share of rows that were evaluated exactly. */
function compare(native: Native, pool: Pool, run: Run): number {
  const { weights, k, x, multiplier } = run;
  const [n, rows] = [weights.length / k, x.length / k];
  const format = run.format ?? "bf16";
  const entry = native.find("linear", format)!;
  const full = runLinear(native, pool, entry, {
    n,
    k,
    rows,
    weights,
    x,
    ...(multiplier !== undefined && { multiplier }),
  });
  using head = new Head(native, pool, format, weights, k);
  let evaluated = 0;
  for (const top of run.tops) {
    const wanted = topOf(full, n, top);
    const found = head.top(x, top, multiplier ?? 1);
    expect([...found.ids]).toEqual([...wanted.ids]);
    expect(bits(found.values)).toEqual(bits(wanted.values));
    const wrong = found.logits.findIndex((v, i) => v !== full[i] && v !== Number.NEGATIVE_INFINITY);
    expect(wrong).toBe(-1);
    evaluated += found.counts.reduce((sum, count) => sum + count, 0);
  }
  return evaluated / (run.tops.length * rows * n);
}

const fixture = new URL("../fixtures/tern/hf-packed", import.meta.url).pathname;

/** The embedding of a trained model: [4096][256] bf16. */
async function trained(): Promise<Float32Array> {
  const registry = new Registry(standard);
  const loader = await registry.loader(fixture);
  using file = await loader.open(fixture);
  const info = file.tensors.get("model.embed_tokens.weight")!;
  const quantizer = registry.quantizer("bf16")!;
  return quantizer.decode({ bytes: file.bytes(info.name) }, info.shape).slice();
}

for (const [isa, native] of natives) {
  const pool = pools.get(isa)!;

  test(`${isa}: a trained embedding, thousands of hidden states`, async () => {
    const weights = await trained();
    const random = generator(7);
    let evaluated = 0;
    const fast = isa !== "generic";
    const confidences = fast ? [0, 0.3, 1, 3] : [1];
    for (const confidence of confidences) {
      const x = hidden(weights, 256, fast ? 500 : 50, confidence, random);
      evaluated += compare(native, pool, { weights, k: 256, x, tops: [1, 40] });
    }
    expect(evaluated / confidences.length).toBeLessThan(0.3);
  }, 60_000);

  test(`${isa}: odd shapes, every float layout, a multiplier`, () => {
    const random = generator(3);
    for (const [n, k] of [
      [1, 1],
      [5, 7],
      [100, 33],
      [999, 100],
      [1600, 272],
    ] as const) {
      const weights = rounded(normals(n * k, random, 0.05));
      for (const format of ["f16", "bf16", "f32"]) {
        const x = normals(7 * k, random);
        const tops = [1, Math.min(n, 3), Math.min(n, 64)];
        compare(native, pool, { weights, k, x, tops, format, multiplier: 0.37 });
      }
    }
  });

  test(`${isa}: hostile weights`, () => {
    const random = generator(11);
    const [n, k] = isa === "generic" ? [600, 320] : [3000, 320];
    const plain = normals(n * k, random, 0.03);
    const spread = plain.map((v, i) => v * (0.2 + 3 * ((Math.floor(i / k) * 7919) % 100) * 0.01));
    const outliers = plain.map((v, i) => (i % k < 8 ? v * 60 : v));
    const common = plain.map((v, i) => v + ((i % k) % 5) * 0.1);
    const duplicates = plain.map((v, i) => {
      const row = Math.floor(i / k);
      return plain[(row % 300) * k + (i % k)]! + (row % 7 === 0 ? 0 : v * 1e-3);
    });
    const same = plain.map((_, i) => plain[(Math.floor(i / k) % 16) * k + (i % k)]!);
    const sets = [plain, spread, outliers, common, duplicates, same, new Float32Array(n * k)];
    for (const weights of sets.map(rounded)) {
      for (const confidence of [0, 2]) {
        const x = hidden(weights, k, 40, confidence, random);
        compare(native, pool, { weights, k, x, tops: [1, 10, 64] });
      }
    }
  }, 60_000);
}

for (const [isa, native] of natives) {
  test(`${isa}: rows that are infinite in f16 are evaluated, and no others for their sake`, () => {
    const random = generator(5);
    const [n, k] = [1600, 256];
    const weights = rounded(normals(n * k, random, 0.03));
    const x = hidden(weights, k, 17, 2, random);
    const run = { k, x, tops: [1, 10], format: "f16" };
    const share = compare(native, pools.get(isa)!, { ...run, weights });
    // 70000 is infinite in f16: these logits are plus or minus infinity, as x in column 7 is.
    for (const row of [3, 700, 701, 1599]) weights[row * k + 7] = row === 700 ? -70000 : 70000;
    expect(compare(native, pools.get(isa)!, { ...run, weights })).toBeLessThan(share + 0.05);
    expect(share).toBeLessThan(0.5);
  });
}

for (const [isa, native] of natives) {
  for (const [format, k, rowsAsStored] of [
    ["q8_0", 96, "q8_0"],
    ["q6_k", 512, "q6_k"],
    ["f16", 80, "f16_rows"],
    ["bf16", 80, "bf16_rows"],
  ] as const) {
    test(`${isa}: a head on ${format} rows gives the bits of its packed copy`, () => {
      const pool = pools.get(isa)!;
      const random = generator(41);
      const n = 1616;
      const copy = format === "bf16" ? "bf16" : "f16";
      const quantizer = new Registry(standard).quantizer(format)!;
      const { bytes } = quantizer.encode!(normals(n * k, random, 0.05), [n, k]);
      const weights = quantizer.decode({ bytes }, [n, k]);
      const x = hidden(weights, k, 37, 1, random);
      for (const rows of [1, 5, 37]) {
        const shape = { n, k, rows, weights, x: x.slice(0, rows * k), multiplier: 0.7 };
        const full = runLinear(native, pool, native.find("linear", copy)!, shape);
        const entry = native.find("head_linear", rowsAsStored)!;
        expect(bits(runLinear(native, pool, entry, shape, bytes))).toEqual(bits(full));
        using head = new Head(native, pool, rowsAsStored, weights, k, bytes);
        const found = head.top(shape.x, 20, 0.7);
        const wanted = topOf(full, n, 20);
        expect([...found.ids]).toEqual([...wanted.ids]);
        expect(bits(found.values)).toEqual(bits(wanted.values));
      }
    });
  }
}

for (const [isa, native] of natives) {
  test(`${isa}: with masks, the top ones of what they let through, each row its own`, () => {
    const random = generator(77);
    const [n, k, rows, top] = [3001, 128, 6, 20];
    const weights = rounded(normals(n * k, random));
    const x = hidden(weights, k, rows, 3, random);
    const entry = native.find("linear", "bf16")!;
    const pool = pools.get(isa)!;
    const full = runLinear(native, pool, entry, { n, k, rows, weights, x });
    using head = new Head(native, pool, "bf16", weights, k);
    // Of every token, about one in 2, 30, 700; a single one; all; no mask.
    const shares = [1 / 2, 1 / 30, 1 / 700, 0, 1, undefined];
    const masks = shares.map((share) => {
      if (share === undefined) return undefined;
      const mask = new Uint32Array(Math.ceil(n / 32));
      for (let id = 0; id < n; id++) {
        if (random() < share || id === 2998) mask[id >> 5]! |= 1 << (id & 31);
      }
      return mask;
    });
    const masked = full.map((logit, i) => {
      const [mask, id] = [masks[Math.floor(i / n)], i % n];
      return mask === undefined || (mask[id >> 5]! >>> (id & 31)) & 1 ? logit : -Infinity;
    });
    const wanted = topOf(masked, n, top);
    const got = head.top(x, top, 1, masks);
    for (let row = 0; row < rows; row++) {
      const values = wanted.values.subarray(row * top, (row + 1) * top);
      const count = values.indexOf(-Infinity);
      const end = row * top + (count < 0 ? top : count);
      expect(end - row * top).toBeGreaterThan(0);
      expect([...got.ids.subarray(row * top, end)]).toEqual([...wanted.ids.slice(row * top, end)]);
      expect(bits(got.values.slice(row * top, end))).toEqual(
        bits(wanted.values.slice(row * top, end)),
      );
    }
    expect(got.counts[0]!).toBeLessThan(n);
    expect(got.counts[3]!).toBe(4);
  });
}
