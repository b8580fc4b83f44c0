// `inspect`: facts of a file, and differences between two that are real and no others.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { compareModels } from "../../apps/inspect/diff.ts";
import { summarize, ternaryStatistics } from "../../apps/inspect/summary.ts";
import { openModel } from "../../core/model.ts";
import { fixture, registry } from "../support/runtime.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-inspect-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a summary tells size, shape, formats and tokenizer", async () => {
  using model = await openModel(fixture("gguf/tern-i2_s.gguf"), registry);
  const summary = summarize(model);
  expect(summary).toMatchObject({
    kind: "gguf",
    name: "tern",
    parameters: 4200704,
    ternaryParameters: 3145728,
    layers: 4,
    kvHeads: 2,
    tokenizer: "gpt2, llama-bpe",
    chatTemplate: true,
    tiedEmbedding: true,
  });
  expect(summary.formats.map(({ format }) => format)).toEqual(["f16", "i2_s", "f32"]);
  using moe = await openModel(fixture("tern/moe-packed"), registry);
  expect(summarize(moe).experts).toEqual({ count: 4, used: 2 });
});

test("statistics of ternary weights", async () => {
  using model = await openModel(fixture("tern/hf-packed"), registry);
  const { zeros, scales, smallestScale, largestScale } = ternaryStatistics(
    model,
    model.tensor("blk.0.ffn_up.weight"),
  );
  expect(zeros).toBeGreaterThan(0.25);
  expect(zeros).toBeLessThan(0.45);
  expect(scales).toBe(1);
  expect(smallestScale).toBe(largestScale);
});

describe("diff", () => {
  const compare = (a: string, b: string) => compareModels(a, b, registry, true);

  test("the same weights in two formats are equal, and so are their logits", async () => {
    const a = fixture("gguf/tern-i2_s.gguf");
    const b = fixture("gguf/tern-tq1_0.gguf");
    const { differences, equal, tensors, logits } = await compare(a, b);
    expect(differences).toEqual([]);
    expect(equal).toBe(tensors);
    expect(logits?.identical).toBe(true);
  });

  test("llama: a checkpoint and its GGUF file differ in no ternary weight", async () => {
    const source = fixture("tern/random/llama-auto-offline");
    const output = join(folder, "llama.gguf");
    await convert({ source, output, embedding: "bf16", head: "bf16" }, registry);
    const { differences, logits } = await compare(source, output);
    expect(differences).toEqual([]);
    expect(logits?.smallestCosine).toBeGreaterThan(0.9999);
  });

  test("what differs is told in words", async () => {
    const { differences, logits } = await compare(
      fixture("tern/hf-packed"),
      fixture("tern/hf-bf16"),
    );
    expect(differences.length).toBe(28);
    expect(differences[0]?.text).toMatch(/^scales differ by 0\.\d+ %/);
    expect(logits?.identical).toBe(false);
    expect(logits?.sameBest).toBeGreaterThan(28);
  });

  test("models of other shapes: no logits to compare, the reason is told", async () => {
    const other = fixture("tern/random/qwen3-auto-offline");
    const { differences, noLogits } = await compare(fixture("tern/hf-packed"), other);
    expect(differences.some(({ text }) => text.startsWith("only in"))).toBe(true);
    expect(differences.some(({ text }) => text.startsWith("shapes"))).toBe(true);
    expect(noLogits).toContain("vocabularies of 4096 and 512");
  });
});
