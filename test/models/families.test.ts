// What sets families apart: MiniCPM's scales, Qwen2's biases, sub-norms with an eps of their own.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { openRuntime } from "../../core/engine/runtime.ts";
import { openModel } from "../../core/model.ts";
import { readCheckpoint, scaled, vector, writeCheckpoint } from "../support/checkpoint.ts";
import { cosine, evaluate, fixture, hashOf, registry } from "../support/runtime.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-families-"));
afterAll(() => rmSync(folder, { recursive: true }));
const tokens = [1, 11, 48, 85, 122, 159, 196, 233, 270, 307, 344, 381];

let names = 0;
const fresh = (): string => join(folder, `${names++}`);

async function logitsOf(model: string): Promise<Float32Array[]> {
  using runtime = await openRuntime({ model, threads: 1, maxSequences: 1 }, registry);
  return evaluate(runtime, tokens);
}

async function converted(source: string): Promise<string> {
  const output = `${fresh()}.gguf`;
  await convert({ source, output, embedding: "bf16", head: "bf16" }, registry);
  return output;
}

const base = readCheckpoint(fixture("tern/random/llama-auto-offline"));

describe("MiniCPM", () => {
  const config = {
    ...base.config,
    architectures: ["MiniCPMForCausalLM"],
    model_type: "minicpm",
    scale_emb: 4,
    scale_depth: 0.5 * Math.SQRT2,
    dim_model_base: 128,
  };
  // Two layers: residual branches times 0.5; 256 / 128: logits times 0.5.
  const plain = { ...base.tensors };
  for (const name of Object.keys(plain)) {
    const tensor = plain[name] as (typeof plain)[string];
    if (name === "model.embed_tokens.weight") plain[name] = scaled(tensor, 4);
    if (/(o_proj|down_proj)\.weight_scale$/.test(name)) plain[name] = scaled(tensor, 0.5);
    if (name === "lm_head.weight") plain[name] = scaled(tensor, 0.5);
  }

  test("its scales act as scaled weights of a Llama would, bit for bit", async () => {
    const own = await logitsOf(writeCheckpoint(fresh(), config, base.tensors));
    const llama = await logitsOf(writeCheckpoint(fresh(), base.config, plain));
    expect(hashOf(own)).toBe(hashOf(llama));
  });

  test("the GGUF file keeps them under llama.cpp's names", async () => {
    const source = writeCheckpoint(fresh(), config, base.tensors);
    const output = await converted(source);
    using model = await openModel(output, registry);
    expect(model.metadata["minicpm.embedding_scale"]).toBe(4);
    expect(model.metadata["minicpm.residual_scale"]).toBeCloseTo(0.5, 6);
    expect(model.metadata["minicpm.logit_scale"]).toBe(2);
    const [a, b] = [await logitsOf(source), await logitsOf(output)];
    for (const [i, row] of a.entries())
      expect(cosine(row, b[i] as Float32Array)).toBeGreaterThan(0.9999);
  });
});

describe("Qwen2 converted in place", () => {
  const masters = readCheckpoint(fixture("tern/random/llama-auto-online"));
  const { quantization_config: _, ...config } = masters.config;
  const tensors: typeof masters.tensors = {};
  for (const [name, tensor] of Object.entries(masters.tensors)) {
    tensors[name.replace(/(o_proj|down_proj)\.weight$/, "$1.1.weight")] = tensor;
  }
  tensors["model.layers.0.self_attn.o_proj.0.weight"] = vector(256, 0.25);
  tensors["model.layers.0.mlp.down_proj.0.weight"] = vector(256, 0.5);
  for (const [part, size] of [
    ["q", 256],
    ["k", 128],
    ["v", 128],
  ] as const) {
    tensors[`model.layers.0.self_attn.${part}_proj.bias`] = vector(size, 0.03);
  }
  const qwen = { ...config, architectures: ["Qwen2ForCausalLM"], model_type: "qwen2" };

  test("biases, sub-norms and their eps survive the way to GGUF", async () => {
    const source = writeCheckpoint(fresh(), qwen, tensors);
    const output = await converted(source);
    using model = await openModel(output, registry);
    expect(model.shape("blk.0.attn_k.bias")).toEqual([128]);
    expect(model.tensor("blk.0.attn_q.weight").format).toBe("i2_s");
    expect(model.hyperparameters.subNormEpsilon).toBeCloseTo(1e-6, 10);
    expect(model.hyperparameters.normEpsilon).toBeCloseTo(1e-5, 10);
    expect(hashOf(await logitsOf(output))).toBe(hashOf(await logitsOf(source)));
  });

  test("biases and sub-norms act", async () => {
    const logits = await logitsOf(writeCheckpoint(fresh(), qwen, tensors));
    for (const name of [
      "model.layers.0.self_attn.q_proj.bias",
      "model.layers.0.self_attn.o_proj.0.weight",
    ]) {
      const { [name]: _left, ...without } = tensors;
      const other = await logitsOf(writeCheckpoint(fresh(), qwen, without));
      expect(hashOf(other)).not.toBe(hashOf(logits));
    }
  });
});

test("rows of 576 weights (SmolLM2) are refused by i2_s with the reason and held by iq2_bn", async () => {
  const width = 576;
  const bf16 = (rows: number, columns: number): (typeof base.tensors)[string] => ({
    ...vector(rows * columns, 0.125),
    shape: [rows, columns],
  });
  const layer = "model.layers.0";
  const tensors = {
    "model.embed_tokens.weight": bf16(64, width),
    "model.norm.weight": vector(width, 0.5),
    [`${layer}.input_layernorm.weight`]: vector(width, 0.5),
    [`${layer}.post_attention_layernorm.weight`]: vector(width, 0.5),
    [`${layer}.self_attn.q_proj.weight`]: bf16(width, width),
    [`${layer}.self_attn.k_proj.weight`]: bf16(192, width),
    [`${layer}.self_attn.v_proj.weight`]: bf16(192, width),
    [`${layer}.self_attn.o_proj.weight`]: bf16(width, width),
    [`${layer}.mlp.gate_proj.weight`]: bf16(1536, width),
    [`${layer}.mlp.up_proj.weight`]: bf16(1536, width),
    [`${layer}.mlp.down_proj.weight`]: bf16(width, 1536),
  };
  const config = {
    ...base.config,
    hidden_size: width,
    intermediate_size: 1536,
    num_hidden_layers: 1,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    head_dim: 64,
    vocab_size: 64,
    tie_word_embeddings: true,
    quantization_config: {
      quant_method: "bitnet",
      quantization_mode: "online",
      linear_class: "autobitlinear",
    },
  };
  const source = writeCheckpoint(fresh(), config, tensors);
  const refused = convert({ source, output: `${fresh()}.gguf` }, registry);
  expect(refused).rejects.toThrow(
    /does not fit i2_s: .*blocks of 128; shape \[\d+,576\].*more tensors/,
  );
  await refused.catch(() => {});
  const hashes = new Set<string>();
  for (const quantize of ["iq2_bn", "hf-packed"]) {
    const output = `${fresh()}.gguf`;
    await convert({ source, output, quantize, embedding: "bf16" }, registry);
    using runtime = await openRuntime({ model: output, threads: 1, maxSequences: 1 }, registry);
    hashes.add(hashOf(evaluate(runtime, [1, 2, 3, 60])));
  }
  expect(hashes.size).toBe(1);
});
