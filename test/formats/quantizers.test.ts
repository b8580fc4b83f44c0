// Every built-in format passes the conformance suite, and the golden cases of the formats hold.
import { describe, expect, test } from "bun:test";
import type { Quantizer } from "../../core/index.ts";
import { testQuantizer } from "../../core/testing/quantizer.ts";
import plugin from "../../plugins/formats/index.ts";
import golden from "../golden/formats.json";

const formats = new Map(plugin.quantizers?.map((quantizer) => [quantizer.format, quantizer]));
const format = (name: string): Quantizer => formats.get(name) as Quantizer;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("conformance", () => {
  for (const [name, quantizer] of formats) test(name, () => testQuantizer(quantizer));

  test("a format that swaps two codes is found out", () => {
    const good = format("tq2_0");
    const broken: Quantizer = {
      ...good,
      decode: (data, shape) => good.decode(data, shape).map((value) => -value),
    };
    expect(() => testQuantizer(broken)).toThrow('format "tq2_0"');
  });

  test("a format that reads past truncated data is found out", () => {
    const good = format("f32");
    const broken: Quantizer = {
      ...good,
      decode: (data, shape) =>
        new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(data.bytes[0] ?? 0),
    };
    expect(() => testQuantizer(broken)).toThrow('format "f32"');
  });
});

describe("golden", () => {
  const { rows, cols, scale } = golden.i2_s;
  const weight = (r: number, i: number): number => ((7 * i + Math.floor(i / 5) + r) % 3) - 1;
  const trits = Int8Array.from({ length: rows * cols }, (_, at) =>
    weight(Math.floor(at / cols), at % cols),
  );

  test("i2_s bytes", () => {
    const values = Float32Array.from(trits, (trit) => trit * scale);
    const { bytes } = format("i2_s").encode(values, [rows, cols]);
    expect(hex(bytes)).toBe(golden.i2_s.hex);
    expect(bytes.byteLength).toBe(golden.i2_s.nbytes);
    expect([...format("i2_s").decode({ bytes }, [rows, cols])]).toEqual([
      ...values.map((v) => v + 0),
    ]);
  });

  test("sglang packs a row as i2_s does", () => {
    const data = format("sglang").encode(Float32Array.from(trits), [rows, cols]);
    expect(hex(data.bytes.subarray(0, 32))).toBe(golden.sgl_packed_first_row_hex);
    expect([...(data.scale ?? [])]).toEqual([1]);
  });

  test("hf-packed blocks rows by quarters", () => {
    const matrix = golden.hf_packed.W_8x4;
    const data = format("hf-packed").encode(Float32Array.from(matrix.flat()), [8, 4]);
    expect([...data.bytes]).toEqual(golden.hf_packed.packed_2x4.flat());
  });
});

describe("damage and shapes", () => {
  test("a code 3 is no ternary weight", () => {
    const bytes = new Uint8Array(256 / 4 + 32).fill(0xff);
    expect(() => format("i2_s").decode({ bytes }, [2, 128])).toThrow("code 3");
  });

  test("shapes that a format cannot hold are refused with the reason", () => {
    expect(() => format("i2_s").byteLength([64, 576])).toThrow("blocks of 128");
    expect(() => format("tq1_0").byteLength([64, 640])).toThrow("blocks of 256");
    expect(() => format("iq1_bn").byteLength([64, 100])).toThrow("blocks of 64");
    expect(() => format("hf-packed").byteLength([6, 100])).toThrow("4n rows");
    expect(() => format("tl2").byteLength([48, 256])).toThrow("no tiles");
  });

  test("values that are not ternary are not rounded silently", () => {
    const values = Float32Array.from({ length: 128 }, (_, i) => i);
    expect(() => format("i2_s").encode(values, [1, 128])).toThrow("-s, 0 and s");
  });

  test("one scale an expert: stacked matrices keep theirs beside the codes", () => {
    const values = Float32Array.from(
      { length: 2 * 256 },
      (_, i) => ((i % 3) - 1) * (i < 256 ? 0.5 : 2),
    );
    const data = format("i2_s").encode(values, [2, 2, 128]);
    expect([...(data.scale ?? [])]).toEqual([0.5, 2]);
    expect(format("i2_s").decode(data, [2, 2, 128])).toEqual(values.map((v) => v + 0));
  });
});

describe("float formats", () => {
  test("bf16 rounds half to even and keeps NaN", () => {
    const values = Float32Array.from([1, 1.00390625, 1.01171875, -0, NaN, Infinity, 3.3961775e38]);
    const decoded = format("bf16").decode(format("bf16").encode(values, [7]), [7]);
    expect([...decoded]).toEqual([1, 1, 1.015625, -0, NaN, Infinity, Infinity]);
  });

  test("block formats stay within a step of their scale", () => {
    const values = Float32Array.from({ length: 512 }, (_, i) => Math.sin(i * 0.7) * (1 + (i % 5)));
    const bounds = { q8_0: 5 / 254, q6_k: 5 / 31, q4_0: 5 / 8, q4_1: 10 / 30 };
    for (const [name, bound] of Object.entries(bounds)) {
      const decoded = format(name).decode(format(name).encode(values, [2, 256]), [2, 256]);
      const worst = Math.max(...values.map((v, i) => Math.abs(v - (decoded[i] as number))));
      expect(worst).toBeLessThan(1.05 * bound);
    }
  });
});
