// The layout of ternary weights is chosen by measuring; the choice changes the speed and no bit.
import { expect, test } from "bun:test";
import { fastest, measureLayouts } from "../../core/engine/layout.ts";
import { KernelTable } from "../../core/tape/kernels.ts";
import { natives } from "../linear/harness.ts";
import { evaluate, openFixture } from "../support/runtime.ts";

test("another layout is taken only where it is clearly faster", () => {
  expect(fastest([1, 0.97, 0.92])).toBe(0);
  expect(fastest([1, 0.89, 0.8])).toBe(2);
  expect(fastest([1, 2])).toBe(0);
});

for (const [isa, native] of natives) {
  test(`${isa}: every layout is measured, a preferred one comes first`, () => {
    using pool = native.host.createPool(2);
    const kernels = new KernelTable(native.entries);
    const all = kernels.ternaryLayouts();
    expect(all.length).toBeGreaterThan(1);
    const times = measureLayouts(native.host, pool, all);
    expect(times).toHaveLength(all.length);
    for (const time of times) expect(time).toBeGreaterThan(0);
    const last = all.at(-1)!;
    kernels.prefer(last.format);
    expect(kernels.ternaryLayout()).toBe(last);
    expect(kernels.ternaryLayout(all[0]!.format)).toBe(all[0]!);
  });
}

test("the layouts give the same bits", async () => {
  const model = "gguf/tern-i2_s.gguf";
  const tokens = [4080, 1, 2, 3, 500, 4000, 17];
  const found: (readonly Float32Array[])[] = [];
  for (const layout of ["t2", "t5"]) {
    using runtime = await openFixture(model, { layout });
    expect(runtime.info.layout).toBe(layout);
    found.push(evaluate(runtime, tokens).map((row) => row.slice()));
  }
  expect(found[1]).toEqual(found[0]!);
});
