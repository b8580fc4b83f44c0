// Mixtures of experts: real ones stacked and run, fake ones that answer as the dense model does.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import type { ConvertOptions, FakeMixture } from "../../apps/convert/options.ts";
import { openRuntime, type Runtime } from "../../core/engine/runtime.ts";
import { argmax, evaluate, fixture, hashOf, openFixture, registry } from "../support/runtime.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-mixture-"));
afterAll(() => rmSync(folder, { recursive: true }));

let outputs = 0;
async function run(source: string, options: Partial<ConvertOptions>): Promise<Runtime> {
  const output = join(folder, `${outputs++}.gguf`);
  await convert({ source: fixture(source), output, embedding: "bf16", ...options }, registry);
  return openRuntime({ model: output, threads: 2, maxSequences: 1 }, registry);
}

const tokens = Array.from({ length: 30 }, (_, i) => (i === 0 ? 4080 : (i * 53 + 7) % 4080));
const dense = await (async () => {
  using runtime = await openFixture("tern/hf-packed");
  return evaluate(runtime, tokens);
})();

describe("stacked experts of a checkpoint", () => {
  for (const quantize of ["i2_s", "tq2_0", "iq2_bn"]) {
    test(`as ${quantize} they give the checkpoint's logits bit for bit`, async () => {
      using source = await openFixture("tern/moe-packed");
      using output = await run("tern/moe-packed", { quantize });
      expect(hashOf(evaluate(output, tokens))).toBe(hashOf(evaluate(source, tokens)));
    });
  }
});

describe("fake mixtures", () => {
  const same: [string, FakeMixture][] = [
    ["identity, k = 1", { experts: 4, topK: 1, router: "identity" }],
    ["identity, k = 2", { experts: 4, topK: 2, router: "identity" }],
    ["identity, k = 2, shared", { experts: 2, topK: 2, router: "identity", shareExperts: true }],
  ];
  for (const [name, mixture] of same) {
    test(`${name}: the dense model's logits, bit for bit`, async () => {
      using output = await run("tern/hf-packed", { mixture });
      expect(output.model.hyperparameters.experts).toBe(mixture.experts);
      expect(hashOf(evaluate(output, tokens))).toBe(hashOf(dense));
    });
  }

  test("top-k: the dense model's greedy tokens", async () => {
    using output = await run("tern/hf-packed", {
      mixture: { experts: 4, topK: 2, router: "top-k" },
    });
    expect(evaluate(output, tokens).map(argmax)).toEqual(dense.map(argmax));
  });

  test("from a GGUF file of another program", async () => {
    const mixture: FakeMixture = { experts: 3, topK: 1, router: "identity" };
    using source = await openFixture("gguf/tern-tq2_0.gguf");
    const output = join(folder, "from-gguf.gguf");
    await convert({ source: fixture("gguf/tern-tq2_0.gguf"), output, mixture }, registry);
    using made = await openRuntime({ model: output, threads: 1, maxSequences: 1 }, registry);
    expect(hashOf(evaluate(made, tokens))).toBe(hashOf(evaluate(source, tokens)));
  });

  test("numbers that make no sense, and mixtures of mixtures, are refused", async () => {
    const attempt = (source: string, mixture: FakeMixture): Promise<unknown> => {
      const options = { source: fixture(source), output: join(folder, "no.gguf"), mixture };
      return convert(options, registry).catch((error) => error.message);
    };
    const router = "top-k" as const;
    expect(await attempt("tern/hf-packed", { experts: 2, topK: 3, router })).toContain(
      "--top-k 3: 1 to 2",
    );
    expect(await attempt("tern/hf-packed", { experts: 0, topK: 1, router })).toContain(
      "--fake-moe 0",
    );
    expect(await attempt("tern/moe-packed", { experts: 2, topK: 1, router })).toContain("already");
  });
});
