// Synthetic models: valid bytes in every format, the same model in memory and as a file.
import { expect, test } from "bun:test";
import { syntheticPath } from "../../apps/bench/model-file.ts";
import { byteLength, patternBytes, patternPieces } from "../../apps/bench/patterns.ts";
import { shapeOf, shapes } from "../../apps/bench/shapes.ts";
import { countExperts, decode, prefill } from "../../apps/bench/steps.ts";
import { elements, syntheticFile, syntheticTensors } from "../../apps/bench/synthetic.ts";
import { syntheticVocabulary } from "../../apps/bench/vocabulary.ts";
import { createRegistry } from "../../apps/plugins.ts";
import { createRuntime, createTokenizer, modelOfFile, openModel } from "../../core/index.ts";

const registry = await createRegistry();
const own = { contextLength: 64, threads: 1, maxSequences: 8 };

for (const format of ["i2_s", "tq2_0", "f16", "q6_k", "f32"] as const) {
  test(`random ${format} bytes decode to small values, ternary ones to all three`, () => {
    const shape = [64, 512];
    const bytes = patternBytes(format, 64 * 512);
    const quantizer = registry.quantizer(format);
    expect(bytes.byteLength).toBe(quantizer.byteLength(shape));
    const values = quantizer.decode({ bytes }, shape);
    expect(values.every((value) => Math.abs(value) < 1)).toBe(true);
    const different = new Set(values).size;
    if (quantizer.ternary) expect(different).toBe(3);
    else expect(different).toBeGreaterThan(500);
  });

  test(`the pieces of ${format} join to the same bytes`, () => {
    const count = 3 << 20;
    const pieces = [...patternPieces(format, count)];
    expect(Buffer.concat(pieces).equals(patternBytes(format, count))).toBe(true);
    expect(byteLength(format, count)).toBe(patternBytes(format, count).byteLength);
  });
}

test("every shape has tensors whose rows its formats can hold", () => {
  for (const name of Object.keys(shapes)) {
    for (const tensor of syntheticTensors(shapeOf(name))) {
      const quantizer = registry.quantizer(tensor.format);
      expect(quantizer.byteLength(tensor.shape)).toBe(byteLength(tensor.format, elements(tensor)));
    }
  }
});

test("an unknown shape is refused with the flag and the names", () => {
  expect(() => shapeOf("gpt-5")).toThrow("no shape gpt-5");
});

test("the file of a shape gives the logits of the model in memory, to the bit", async () => {
  const logitsOf = (runtime: ReturnType<typeof createRuntime>): Float32Array => {
    prefill(runtime, 5);
    runtime.run({ sequences: [{ tokens: [7], position: 5, pages: [0], logits: [0] }] });
    return runtime.logits(0).slice();
  };
  using inMemory = createRuntime(modelOfFile(syntheticFile("small", 64), registry), own, registry);
  const path = syntheticPath("small", registry);
  using fromFile = createRuntime(await openModel(path, registry), own, registry);
  const logits = logitsOf(fromFile);
  expect(logits).toEqual(logitsOf(inMemory));
  expect(new Set(logits).size).toBeGreaterThan(1000);
}, 60_000);

test("a mixture runs, and more sequences use more experts up to all", async () => {
  using runtime = createRuntime(
    modelOfFile(syntheticFile("moe-small", 64), registry),
    own,
    registry,
  );
  const one = countExperts(runtime, 0, 1, 3);
  const eight = countExperts(runtime, 0, 8, 3);
  // Two layers, two of eight experts each.
  expect(one).toBe(4);
  expect(eight).toBeGreaterThan(one);
  expect(eight).toBeLessThanOrEqual(16);
}, 60_000);

test("decode feeds each sequence its own greedy tokens", () => {
  using runtime = createRuntime(modelOfFile(syntheticFile("small", 64), registry), own, registry);
  let steps = 0;
  decode(runtime, 4, 3, 5, () => steps++);
  expect(steps).toBe(5);
  expect(runtime.logits(2).every(Number.isFinite)).toBe(true);
}, 60_000);

test("the vocabulary has as many tokens as asked, all different, and encodes text back", () => {
  const size = 20_000;
  const metadata = syntheticVocabulary(size);
  const tokens = metadata["tokenizer.ggml.tokens"] as string[];
  expect(tokens.length).toBe(size);
  expect(new Set(tokens).size).toBe(size);
  const tokenizer = createTokenizer({ kind: "gguf", metadata });
  const text = "The quick brown fox: 12 ÄÖ";
  const ids = tokenizer.encode(text);
  expect(tokenizer.decode(ids)).toBe(text);
  expect(ids.length).toBeLessThan(text.length);
});
