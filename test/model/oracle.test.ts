// One whole step against a scalar TypeScript form of it: the kernels' bits, exactly.
import { describe, expect, test } from "bun:test";
import { OracleStep } from "../support/oracle-step.ts";
import { evaluate, hashOf, openFixture } from "../support/runtime.ts";

const models = [
  ["gguf/tern-i2_s.gguf", [4080, 490, 474, 257, 423, 7]],
  ["tern/hf-bf16", [4080, 11, 3000]],
  ["tern/random/llama-bitlinear", [1, 5, 9, 200]],
  ["tern/random/llama-rmsnorm", [1, 5, 9, 200]],
  ["tern/random/qwen3-auto-online", [1, 5, 9, 200]],
] as const;

describe("a step equals its scalar form, bit for bit", () => {
  for (const [path, tokens] of models) {
    test(path, async () => {
      using runtime = await openFixture(path, { contextLength: 256 });
      const oracle = new OracleStep(runtime.model, tokens);
      runtime.model.architecture.record(oracle);
      const rows = evaluate(runtime, tokens);
      rows.forEach((row, i) => {
        const wrong = row.findIndex((value, j) => value !== oracle.result[i]![j]);
        expect({ position: i, wrong }).toEqual({ position: i, wrong: -1 });
      });
      expect(hashOf(rows)).toBe(hashOf(oracle.result));
    }, 60_000);
  }
});
