// Every linear layout on every instruction set gives the oracle's bits, whatever shape and threads.
import { afterAll, describe, expect, test } from "bun:test";
import type { Pool } from "../../core/native/host.ts";
import { isLinear } from "../../core/tape/kernels.ts";
import formats from "../../plugins/formats/index.ts";
import { floatCase, type Options, ternaryCase } from "./cases.ts";
import { natives, runLinear } from "./harness.ts";
import { type LinearCase, linear } from "./oracle.ts";

const pools = new Map<string, Pool>();
function poolOf(isa: string, threads: number): Pool {
  const key = `${isa} ${threads}`;
  const pool = pools.get(key) ?? natives.get(isa)!.host.createPool(threads);
  pools.set(key, pool);
  return pool;
}
afterAll(() => {
  for (const pool of pools.values()) pool[Symbol.dispose]();
});

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** Compares the linears of all layouts that fit, on all ISAs with 1 and 3 threads. */
function check(formats: (format: string) => boolean, c: LinearCase, what: string): void {
  const wanted = bitsOf(linear(c));
  for (const [isa, native] of natives) {
    for (const entry of native.entries) {
      if (!isLinear(entry) || !formats(entry.format)) continue;
      for (const threads of [1, 3]) {
        const found = bitsOf(runLinear(native, poolOf(isa, threads), entry, c));
        const at = found.findIndex((word, i) => word !== wanted[i]);
        if (at !== -1) {
          throw new Error(
            `${what}, ${entry.op} ${entry.format} on ${isa}, ${threads} threads: element ${at} differs`,
          );
        }
      }
    }
  }
}

const ternary = (format: string) => /^t\d/.test(format);
const float = (format: string) => /^(f32|f16|bf16)$/.test(format);

test("the libraries of this machine offer the layouts", () => {
  expect(natives.size).toBeGreaterThanOrEqual(1);
  for (const native of natives.values()) {
    for (const format of ["t2", "t5", "f32", "f16", "bf16"]) {
      expect(native.find("linear", format)).toBeDefined();
    }
  }
});

describe("ternary", () => {
  const shapes: readonly (readonly [number, number])[] = [
    [16, 16],
    [1, 1],
    [5, 3],
    [17, 20],
    [33, 100],
    [48, 64],
    [70, 129],
    [64, 256],
    [100, 260],
    [130, 516],
  ];
  for (const [n, k] of shapes) {
    test(`[${n}, ${k}]`, () => {
      for (const rows of [1, 2, 3, 4, 5, 8, 9, 16, 17]) {
        check(
          ternary,
          ternaryCase(n, k, rows, n * k + rows, { extras: rows % 2 === 1 }),
          `${rows} rows`,
        );
      }
    });
  }

  test("any number of rows", () => {
    for (let rows = 1; rows <= 70; rows++) {
      check(ternary, ternaryCase(80, 96, rows, rows), `${rows} rows`);
    }
  });

  test("long rows, extreme weights and activations", () => {
    for (const weights of ["random", "plus", "minus", "zero"] as const) {
      for (const inputs of ["random", "low", "high"] as const) {
        for (const rows of [1, 4, 6, 19, 37, 62]) {
          const c = ternaryCase(36, 6912, rows, rows, { weights, inputs });
          check(ternary, c, `${weights} x ${inputs}, ${rows} rows`);
        }
      }
    }
  });

  test("many blocks of rows", () => {
    for (const rows of [1, 3, 8, 13, 59, 64, 79, 130, 300]) {
      check(ternary, ternaryCase(1100, 192, rows, rows, { extras: true }), `${rows} rows`);
    }
    for (const [n, k] of [
      [1024, 3],
      [1025, 260],
      [2576, 84],
      [3200, 81],
    ] as const) {
      check(ternary, ternaryCase(n, k, 70, n), `[${n}, ${k}]`);
      const gated = ternaryCase(n - (n % 32), k, 66, n, { gate: "relu2", extras: true });
      check(ternary, gated, `[${n}, ${k}], gated`);
    }
  });

  test("many blocks of rows, extreme weights and activations", () => {
    for (const weights of ["random", "plus", "minus"] as const) {
      for (const inputs of ["low", "high"] as const) {
        const c = ternaryCase(1024, 700, 65, 7, { weights, inputs });
        check(ternary, c, `${weights} x ${inputs}`);
      }
    }
  });

  for (const gate of ["relu2", "silu", "gelu"] as const) {
    test(`gate ${gate}, bias, residual, multiplier`, () => {
      for (const [n, k] of [
        [32, 64],
        [96, 100],
        [160, 340],
      ] as const) {
        for (const rows of [1, 2, 7, 12, 65]) {
          const options: Options = { gate, extras: true, multiplier: 0.7 };
          check(ternary, ternaryCase(n, k, rows, n + rows, options), `[${n}, ${k}], ${rows} rows`);
        }
      }
    });
  }

  test("scales by group, one activation scale a row or a block", () => {
    for (const [group, k] of [
      [32, 96],
      [64, 320],
      [128, 640],
      [128, 200],
      [256, 1024],
    ] as const) {
      for (const qBlock of [0, 32, 64, 256]) {
        for (const rows of [1, 4, 9, 70]) {
          const options: Options = {
            group,
            qBlock,
            extras: true,
            gate: rows === 4 ? "silu" : "none",
          };
          const c = ternaryCase(96, k, rows, group + k + rows, options);
          check(ternary, c, `group ${group}, k ${k}, q_block ${qBlock}, ${rows} rows`);
        }
      }
    }
    for (const rows of [1, 5]) {
      check(ternary, ternaryCase(1100, 256, rows, rows, { group: 128 }), `1100 x ${rows}`);
    }
  });
});

describe("float", () => {
  test("odd shapes", () => {
    for (const [n, k] of [
      [1, 1],
      [5, 7],
      [16, 16],
      [17, 33],
      [40, 100],
      [90, 256],
      [130, 300],
    ] as const) {
      for (const rows of [1, 2, 3, 4, 5, 9, 33]) {
        check(
          float,
          floatCase(n, k, rows, n * k + rows, { extras: rows % 2 === 0 }),
          `[${n}, ${k}] x ${rows}`,
        );
      }
    }
  });

  test("gates", () => {
    for (const gate of ["relu2", "silu", "gelu"] as const) {
      for (const rows of [1, 6, 40]) {
        const c = floatCase(64, 72, rows, rows, { gate, extras: true, multiplier: 0.3 });
        check(float, c, `${gate}, ${rows} rows`);
      }
    }
  });
});

test("ternary straight from the bytes of an i2_s file", () => {
  const quantizer = formats.quantizers?.find((q) => q.format === "i2_s");
  for (const [n, k] of [
    [1, 128],
    [20, 256],
    [100, 2560],
    [70, 640],
  ] as const) {
    for (const rows of [1, 2, 3, 4, 5, 9, 33]) {
      for (const inputs of ["random", "low"] as const) {
        const c = ternaryCase(n, k, rows, n + rows, { inputs, extras: true, multiplier: 0.3 });
        const values = Float32Array.from(c.weights, (t) => t * 0.5);
        // One scale a tensor needs one value that is not zero.
        values[0] = 0.5;
        const weights = Int8Array.from(values, (v) => v * 2);
        const wanted = bitsOf(linear({ ...c, weights }));
        const bytes = quantizer!.encode(values, [n, k]).bytes;
        for (const [isa, native] of natives) {
          const entry = native.find("linear", "i2_s")!;
          const found = bitsOf(runLinear(native, poolOf(isa, 3), entry, c, bytes));
          expect(found).toEqual(wanted);
        }
      }
    }
  }
});
