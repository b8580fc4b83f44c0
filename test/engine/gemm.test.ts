// How many rows are multiplied is chosen by name or by measuring; the choice changes no bit.
import { expect, test } from "bun:test";
import { Gemm } from "../../core/engine/gemm.ts";
import { measureLinears } from "../../core/engine/measure.ts";
import { WrinkleFreeError } from "../../core/errors.ts";
import { KernelTable } from "../../core/tape/kernels.ts";
import { natives } from "../linear/harness.ts";
import { evaluate, openFixture } from "../support/runtime.ts";

const model = "gguf/tern-i2_s.gguf";

for (const [isa, native] of natives) {
  const kernels = new KernelTable(native.entries);
  for (const layout of kernels.ternaryLayouts()) {
    const linears = kernels.linearsOf(layout);
    const names = linears.map(({ op }) => op).join(", ");

    test(`${isa}, ${layout.format}: each of ${names} is measured`, () => {
      expect(linears[0]).toBe(layout);
      expect(linears.length).toBe(isa === "avx512" ? 2 : 1);
      using pool = native.host.createPool(2);
      const times = measureLinears(native.host, pool, linears, { n: 2560, k: 640, rows: 128 });
      expect(times).toHaveLength(linears.length);
      for (const time of times) expect(time).toBeGreaterThan(0);
    });
  }

  test(`${isa}: a named one runs, and gives the same bits`, async () => {
    const tokens = Array.from({ length: 70 }, (_, i) => 1 + i);
    using plain = await openFixture(model, { isa, gemm: "plain" });
    expect(plain.gemm).toBe("plain");
    const wanted = evaluate(plain, tokens).map((row) => row.slice());
    const names = isa === "avx512" ? ["hybrid"] : [];
    for (const gemm of names) {
      using other = await openFixture(model, { isa, gemm });
      expect(other.gemm).toBe(gemm);
      expect(evaluate(other, tokens)).toEqual(wanted);
    }
  });

  test(`${isa}: the measured one runs, and gives the same bits`, async () => {
    const tokens = Array.from({ length: 70 }, (_, i) => 4 + i);
    using runtime = await openFixture(model, { isa });
    const wanted = evaluate(runtime, tokens).map((row) => row.slice());
    const linears = runtime.kernels.linearsOf(runtime.kernels.ternaryLayout(runtime.info.layout));
    const gemm = new Gemm(runtime.tape, linears, undefined, true);
    expect(gemm.name).toBe("plain");
    using pool = native.host.createPool(2);
    gemm.decide(native.host, pool);
    expect(["plain", isa === "avx512" ? "hybrid" : "plain"]).toContain(gemm.name);
    expect(evaluate(runtime, tokens)).toEqual(wanted);
  });

  test(`${isa}: a name that there is not is refused`, async () => {
    const error = await openFixture(model, { isa, gemm: "none" }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(WrinkleFreeError);
    const { code, details, message } = error as WrinkleFreeError;
    expect([code, details.flag]).toEqual(["usage", "--gemm"]);
    expect(message).toContain("plain");
  });
}
