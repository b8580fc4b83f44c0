// Published families as their checkpoints are: 1bitLLM's masters, TriLM's and Bonsai's scaled floats, YaRN.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { openRuntime } from "../../core/engine/runtime.ts";
import type { Recorder } from "../../core/index.ts";
import { openModel } from "../../core/model.ts";
import { ropeOptions } from "../../plugins/models/rope.ts";
import { type CheckpointTensors, readCheckpoint, writeCheckpoint } from "../support/checkpoint.ts";
import { cosine, evaluate, fixture, hashOf, registry } from "../support/runtime.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-published-"));
afterAll(() => rmSync(folder, { recursive: true }));
const tokens = [1, 11, 48, 85, 122, 159, 196, 233];

let names = 0;
const fresh = (): string => join(folder, `${names++}`);

async function logitsOf(model: string): Promise<Float32Array[]> {
  using runtime = await openRuntime({ model, threads: 1, maxSequences: 1 }, registry);
  return evaluate(runtime, tokens);
}

async function converted(source: string, quantize: string): Promise<string> {
  const output = `${fresh()}.gguf`;
  await convert({ source, output, quantize, embedding: "bf16", head: "bf16" }, registry);
  return output;
}

describe("1bitLLM/bitnet_b1_58", () => {
  test("its older names, SiLU, and masters that no config calls ternary", async () => {
    const { config, tensors } = readCheckpoint(fixture("tern/hf-bf16"));
    const older: CheckpointTensors = {};
    for (const [name, tensor] of Object.entries(tensors)) {
      const own = name.replace("attn_sub_norm", "inner_attn_ln");
      older[own.replace("ffn_sub_norm", "ffn_layernorm")] = tensor;
    }
    const { quantization_config: _, ...rest } = config;
    const own = { ...rest, architectures: ["BitnetForCausalLM"], model_type: "llama" };
    const source = writeCheckpoint(fresh(), { ...own, hidden_act: "silu" }, older);
    const same = writeCheckpoint(fresh(), { ...config, hidden_act: "silu" }, tensors);
    const output = await converted(source, "i2_s");
    using model = await openModel(output, registry);
    expect(model.hyperparameters.architecture).toBe("bitnet");
    expect(model.tensor("blk.0.ffn_down.weight").format).toBe("i2_s");
    const hash = hashOf(await logitsOf(same));
    expect(hashOf(await logitsOf(source))).toBe(hash);
    expect(hashOf(await logitsOf(output))).toBe(hash);
  });
});

/** Linears of a packed checkpoint as bfloat16 values with a scale of their own for each group. */
function dequantized(name: string, scaleOf: (row: number, column: number) => number) {
  const { config, tensors } = readCheckpoint(fixture(name));
  const { quantization_config: _, ...plain } = config;
  const packed = registry.quantizer("hf-packed");
  const bf16 = registry.quantizer("bf16");
  const own: CheckpointTensors = {};
  for (const [path, tensor] of Object.entries(tensors)) {
    if (path.endsWith("weight_scale")) continue;
    own[path] = tensor;
    if (tensor.dtype !== "U8") continue;
    const [quarter = 0, columns = 0] = tensor.shape;
    const shape = [4 * quarter, columns];
    const scale = Float32Array.of(1);
    const values = packed.decode({ bytes: tensor.bytes, scale }, shape);
    values.forEach((trit, i) => {
      values[i] = trit * scaleOf(Math.floor(i / columns), i % columns);
    });
    own[path] = { dtype: "BF16", shape, bytes: bf16.encode(values, shape).bytes };
  }
  return writeCheckpoint(fresh(), plain, own);
}

describe("ternary values stored as floats", () => {
  test("TriLM: a few scales a tensor, one for each shard of rows", async () => {
    const source = dequantized("tern/random/llama-auto-offline", (row) => (row < 64 ? 0.5 : 0.25));
    const output = await converted(source, "tq2_0");
    const refused = await converted(source, "i2_s").catch((error) => error);
    expect(refused.message).toMatch(/i2_s has one scale for \d+ weights, the source one for/);
    const [a, b] = [await logitsOf(source), await logitsOf(output)];
    for (const [i, row] of a.entries()) expect(cosine(row, b[i]!)).toBeGreaterThan(0.99);
  });

  test("Ternary-Bonsai: a scale for 128 weights, in q2_0 of both group sizes and pq2_0", async () => {
    const scales = [0.5, 0.25, 0.125];
    const source = dequantized(
      "tern/random/qwen3-auto-offline",
      (row, column) => scales[(row + Math.floor(column / 128)) % 3]!,
    );
    const logits: Float32Array[][] = [];
    for (const quantize of ["q2_0", "q2_0_g128", "pq2_0"]) {
      const output = await converted(source, quantize);
      using model = await openModel(output, registry);
      expect(model.tensor("blk.0.attn_q.weight").format).toBe(quantize);
      logits.push(await logitsOf(output));
    }
    const [fine, coarse, prism] = logits as [Float32Array[], Float32Array[], Float32Array[]];
    expect(hashOf(coarse)).toBe(hashOf(prism));
    // Activations are rounded in the groups of the weights.
    for (const [i, row] of fine.entries()) expect(cosine(row, coarse[i]!)).toBeGreaterThan(0.999);
  });
});

test("YaRN's factors are those of its paper", () => {
  const metadata = {
    "qwen3.rope.scaling.type": "yarn",
    "qwen3.rope.scaling.factor": 4,
    "qwen3.rope.scaling.original_context_length": 16384,
  };
  const hyperparameters = { architecture: "qwen3", ropeDimensions: 128, ropeTheta: 1e6 };
  const model = { metadata, hyperparameters, has: () => false };
  const recorder = { model, contextLength: 65536 } as unknown as Recorder;
  const { factors, scale } = ropeOptions(recorder, "half");
  // Computed apart from this code, by the formula in transformers' modeling_rope_utils.
  const expected = [
    [0, 1],
    [20, 1],
    [30, 1.78947],
    [33, 2.34483],
    [36, 3.4],
    [40, 4],
    [63, 4],
  ] as const;
  for (const [i, factor] of expected) {
    expect((factors as Float32Array)[i]).toBeCloseTo(factor, 4);
  }
  expect(scale).toBeCloseTo(1.138629, 6);
});
