// Mixtures of experts: golden logits of the trained model, the scalar form, and equality with dense.
import { describe, expect, test } from "bun:test";
import { OracleStep } from "../support/oracle-step.ts";
import {
  argmax,
  cosine,
  evaluate,
  floatsOfBase64,
  golden,
  hashOf,
  openFixture,
} from "../support/runtime.ts";

interface GoldenMoe {
  readonly checkpoints: Record<
    string,
    { readonly prompts: readonly { name: string; ids: number[]; logits_last: string }[] }
  >;
}

const tokens = Array.from({ length: 60 }, (_, i) => (i === 0 ? 4080 : (i * 37 + 11) % 4080));

for (const name of ["moe-packed", "moe-fake-packed"]) {
  describe(name, () => {
    test("logits of the golden prompts", async () => {
      using runtime = await openFixture(`tern/${name}`);
      const { checkpoints } = await golden<GoldenMoe>("tern/moe.json");
      for (const prompt of checkpoints[name]!.prompts) {
        const reference = floatsOfBase64(prompt.logits_last);
        const logits = evaluate(runtime, prompt.ids, "last")[0]!;
        expect(argmax(logits)).toBe(argmax(reference));
        expect(cosine(logits, reference)).toBeGreaterThan(0.9999);
      }
    });

    test("a step equals its scalar form, bit for bit", async () => {
      using runtime = await openFixture(`tern/${name}`, { contextLength: 256 });
      const own = tokens.slice(0, 4);
      const oracle = new OracleStep(runtime.model, own);
      runtime.model.architecture.record(oracle);
      expect(hashOf(evaluate(runtime, own))).toBe(hashOf(oracle.result));
    }, 60_000);
  });
}

test("the same bits for any ISA, threads and chunk", async () => {
  const hashes = new Set<string>();
  for (const isa of process.arch === "x64" ? ["avx512", "avx2", "generic"] : ["neon"]) {
    for (const threads of [1, 3]) {
      using runtime = await openFixture("tern/moe-packed", { isa, threads });
      for (const chunk of [1, 7, 60]) hashes.add(hashOf(evaluate(runtime, tokens, "all", chunk)));
    }
  }
  expect(hashes.size).toBe(1);
}, 120_000);
