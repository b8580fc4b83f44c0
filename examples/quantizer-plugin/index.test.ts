// Tests of the plugin: wrinklefree's suites, on values that the format can hold.
import { expect, test } from "bun:test";
import { standard } from "wrinklefree/standard";
import { testKernel, testQuantizer } from "wrinklefree/testing";
import plugin, { sparseValues } from "./index.ts";

const sherry = plugin.quantizers![0]!;

test("the format keeps the interface", () => testQuantizer(sherry, { values: sparseValues }));

test("a group of four takes five bits", () => {
  expect(sherry.byteLength([16, 64])).toBe((16 * 64 * 1.25) / 8 + 4);
});

test("weights that are not 3:4 sparse are refused with their place", () => {
  const values = sparseValues([1, 32], 1, Math.random);
  values.fill(0, 4, 8);
  expect(() => sherry.encode(values, [1, 32])).toThrow("weights 4..7 do not hold exactly one zero");
});

for (const kernel of plugin.kernels!) {
  test(`${kernel.name} agrees with the format`, () => {
    const options = { plugins: [...standard, plugin], values: sparseValues };
    try {
      const report = testKernel(kernel, options);
      expect(report).toMatchObject({ linear: ["sherry"], unpack: ["sherry"] });
    } catch (error) {
      // A library for instructions that this CPU lacks cannot be tried here.
      expect((error as { code?: string }).code).toBe("unsupported");
    }
  });
}
