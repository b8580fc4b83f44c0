// The project's own kernel libraries pass the suite that third parties are given.
import { expect, test } from "bun:test";
import { openKernels } from "../../core/native/select.ts";
import { testKernel } from "../../core/testing/index.ts";
import kernelsCpu from "../../plugins/kernels-cpu/index.ts";
import { standard } from "../../plugins/standard.ts";

const kernels = kernelsCpu.kernels ?? [];

/** Libraries that this CPU can run, by their instruction sets. */
function runnable(isa: string): boolean {
  try {
    return openKernels(kernels, { isa }).isa === isa;
  } catch {
    return false;
  }
}

for (const kernel of kernels.filter(({ name }) => runnable(name.replace("cpu-", "")))) {
  test(`${kernel.name} agrees with decode of every format it knows`, () => {
    const report = testKernel(kernel, { plugins: standard });
    expect(report.linear).toContain("t2");
    expect(report.unpack).toContain("i2_s");
    expect(report.comparisons).toBeGreaterThan(10_000);
  });
}
