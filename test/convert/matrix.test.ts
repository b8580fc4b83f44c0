// Every checkpoint and file here to every target: the same logits, bit for bit.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { openRuntime } from "../../core/engine/runtime.ts";
import { cosine, evaluate, fixture, hashOf, registry } from "../support/runtime.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-matrix-"));
afterAll(() => rmSync(folder, { recursive: true }));

const random = ["llama-auto-offline", "llama-auto-online", "llama-bitlinear", "llama-rmsnorm"];
const sources = [
  ...["hf-bf16", "hf-packed", "moe-packed", "moe-fake-packed"].map((name) => `tern/${name}`),
  ...[...random, "qwen3-auto-offline", "qwen3-auto-online"].map((name) => `tern/random/${name}`),
  ...["i2_s", "iq1_bn", "iq2_bn", "tq1_0", "tq2_0"].map((name) => `gguf/tern-${name}.gguf`),
];
/** Scales of these are float32, of those half precision. */
const exact = ["i2_s", "tl1", "tl2", "iq2_bn", "sglang"];
const halves = ["tq1_0", "tq2_0", "iq1_bn", "q2_0", "pq2_0"];
const dense = ["f16"];
const tokens = [1, 11, 48, 85, 122, 159];

interface Logits {
  readonly hash: string;
  readonly last: Float32Array;
}

async function logitsOf(model: string): Promise<Logits> {
  const options = { model, threads: 2, maxSequences: 1, contextLength: 256 };
  using runtime = await openRuntime(options, registry);
  const rows = evaluate(runtime, tokens);
  return { hash: hashOf(rows), last: rows.at(-1)! };
}

for (const source of sources) {
  test(source, async () => {
    // Converting verifies by itself that every trit and scale is the source's.
    const to = async (quantize: string): Promise<Logits> => {
      const output = join(folder, `${source.replaceAll("/", "-")}-${quantize}.gguf`);
      const formats = { quantize, embedding: "f32", head: "f32" };
      await convert({ source: fixture(source), output, ...formats }, registry);
      return logitsOf(output);
    };
    // The same weights in other programs' files need not go everywhere again.
    const few = source.startsWith("gguf");
    const original = await logitsOf(fixture(source));
    const [first, ...others] = await Promise.all((few ? ["i2_s", "tl2"] : exact).map(to));
    for (const other of others) expect(other.hash).toBe(first!.hash);
    const rounded = await Promise.all((few ? ["tq1_0", "iq1_bn"] : halves).map(to));
    for (const other of rounded) expect(other.hash).toBe(rounded[0]!.hash);
    for (const { last } of [first!, ...rounded, ...(await Promise.all(dense.map(to)))]) {
      expect(cosine(last, original.last)).toBeGreaterThan(0.999);
    }
    // Llama's rows of q and k change their places in a GGUF file, and sums their order; the bn files
    // have another embedding than the one asked for here.
    if (!/llama|bn/.test(source)) expect(first!.hash).toBe(original.hash);
  });
}
