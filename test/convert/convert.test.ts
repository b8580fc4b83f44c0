// Conversions: every source to every target that its shapes allow, weights equal, refusals with reasons.
import { afterAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import type { ConvertOptions } from "../../apps/convert/options.ts";
import { createRegistry } from "../../apps/plugins.ts";
import { type Model, openModel } from "../../core/model.ts";

const fixtures = `${import.meta.dir}/../fixtures`;
const registry = await createRegistry();
const folder = mkdtempSync(join(tmpdir(), "wrinklefree-convert-"));
afterAll(() => rmSync(folder, { recursive: true }));

let outputs = 0;
async function run(source: string, options: Partial<ConvertOptions> = {}): Promise<Model> {
  const output = join(folder, `${outputs++}.gguf`);
  await convert({ source: resolve(fixtures, source), output, ...options }, registry);
  return openModel(output, registry);
}

const bytes = (array: Int8Array): Buffer =>
  Buffer.from(array.buffer, array.byteOffset, array.length);

/** Names of ternary tensors whose trits or scales differ. */
function differences(a: Model, b: Model): string[] {
  const wrong: string[] = [];
  for (const tensor of a.tensors.values()) {
    if (!tensor.ternary) continue;
    const [x, y] = [a.ternary(tensor.name), b.ternary(tensor.name)];
    const scales = y.scales.every((scale) => scale === x.scales[0]);
    if (Buffer.compare(bytes(x.trits), bytes(y.trits)) !== 0 || !scales) wrong.push(tensor.name);
  }
  return wrong;
}

const ternary = ["i2_s", "tl1", "tl2", "tq1_0", "tq2_0", "iq1_bn", "iq2_bn", "q2_0", "pq2_0"];

describe("targets", () => {
  for (const quantize of ternary) {
    test(`hf-packed to ${quantize}`, async () => {
      using reference = await openModel(`${fixtures}/tern/hf-packed`, registry);
      using output = await run("tern/hf-packed", { quantize });
      expect(differences(reference, output)).toEqual([]);
      expect(output.tensor("blk.3.ffn_down.weight").format).toBe(quantize);
      expect(output.tensor("token_embd.weight").format).toBe("f16");
      expect(output.floats("output_norm.weight")).toEqual(reference.floats("output_norm.weight"));
    });
  }

  test("formats without a ggml type are stored under their name", async () => {
    using reference = await openModel(`${fixtures}/tern/hf-packed`, registry);
    using output = await run("tern/hf-packed", { quantize: "sglang" });
    expect(output.tensor("blk.0.attn_q.weight").shape).toEqual([256, 256]);
    expect(differences(reference, output)).toEqual([]);
  });

  test("f16 of masters holds the ternary weights that the model runs on", async () => {
    using masters = await openModel(`${fixtures}/tern/hf-bf16`, registry);
    using output = await run("tern/hf-bf16", { quantize: "f16" });
    const name = "blk.2.ffn_down.weight";
    const { trits, scales } = masters.ternary(name);
    const half = Math.f16round(scales[0] as number);
    expect(output.floats(name)).toEqual(Float32Array.from(trits, (trit) => trit * half + 0));
  });

  test("f16 keeps the values, and the weights are found again in it", async () => {
    using reference = await openModel(`${fixtures}/tern/hf-packed`, registry);
    const output = join(folder, "dense.gguf");
    await convert({ source: `${fixtures}/tern/hf-packed`, output, quantize: "f16" }, registry);
    const back = join(folder, "back.gguf");
    await convert({ source: output, output: back, quantize: "tq2_0" }, registry);
    using again = await openModel(back, registry);
    expect(differences(reference, again)).toEqual([]);
  });

  test("embedding formats", async () => {
    using output = await run("tern/hf-packed", { embedding: "q6_k" });
    expect(output.tensor("token_embd.weight").format).toBe("q6_k");
    using other = await run("tern/hf-packed", { embedding: "q8_0" });
    expect(other.tensor("token_embd.weight").format).toBe("q8_0");
  });
});

describe("sources", () => {
  test("masters and packed weights give the same trits", async () => {
    using masters = await run("tern/hf-bf16");
    using packed = await run("tern/hf-packed");
    for (const tensor of packed.tensors.values()) {
      if (!tensor.ternary) continue;
      const [a, b] = [masters.ternary(tensor.name), packed.ternary(tensor.name)];
      expect(Buffer.compare(bytes(a.trits), bytes(b.trits))).toBe(0);
      expect(a.scales[0]).toBeCloseTo(b.scales[0] as number, 2);
    }
  });

  test("GGUF of other programs to i2_s", async () => {
    using reference = await openModel(`${fixtures}/tern/hf-packed`, registry);
    for (const format of ["i2_s", "tq1_0", "tq2_0", "iq1_bn", "iq2_bn"]) {
      using output = await run(`gguf/tern-${format}.gguf`);
      expect(differences(reference, output)).toEqual([]);
      expect(output.metadata["general.name"]).toBe("tern");
      expect(output.metadata["general.file_type"]).toBe(40);
    }
  });

  test("experts are stacked, each with its scale and its sub-norm", async () => {
    using reference = await openModel(`${fixtures}/tern/moe-packed`, registry);
    using output = await run("tern/moe-packed");
    const stack = output.tensor("blk.1.ffn_up_exps.weight");
    expect(stack.shape).toEqual([4, 768, 256]);
    const whole = output.ternary(stack.name);
    for (let expert = 0; expert < 4; expert++) {
      const one = reference.ternary(stack.name, expert);
      const size = one.trits.length;
      const part = whole.trits.subarray(expert * size, (expert + 1) * size);
      expect(Buffer.compare(bytes(part), bytes(one.trits))).toBe(0);
      expect(whole.scales[expert]).toBe(one.scales[0] as number);
    }
    expect(output.shape("blk.1.ffn_sub_norm_exps.weight")).toEqual([4, 768]);
    expect(output.shape("blk.1.ffn_gate_inp.weight")).toEqual([4, 256]);
    expect(output.hyperparameters.expertsUsed).toBe(2);
  });

  test("llama: q and k rows become neighbours, inverse scales are turned", async () => {
    using reference = await openModel(`${fixtures}/tern/random/llama-bitlinear`, registry);
    using output = await run("tern/random/llama-bitlinear");
    const name = "blk.0.attn_q.weight";
    const [before, after] = [reference.ternary(name), output.ternary(name)];
    const row = (from: Int8Array, r: number): Buffer =>
      bytes(from.subarray(r * 256, (r + 1) * 256));
    for (const [half, neighbour] of [
      [0, 0],
      [32, 1],
      [1, 2],
      [33, 3],
      [64, 64],
      [96, 65],
    ] as const) {
      expect(Buffer.compare(row(before.trits, half), row(after.trits, neighbour))).toBe(0);
    }
    expect(after.scales[0]).toBe(before.scales[0] as number);
    const stored = reference.file.bytes("model.layers.0.self_attn.q_proj.weight_scale");
    const value = registry.quantizer("bf16").decode({ bytes: stored }, [1])[0] as number;
    expect(after.scales[0]).toBeCloseTo(1 / value, 6);
    expect(output.metadata["llama.rope.kind"]).toBeUndefined();
    expect(output.metadata["llama.rope.scaling.type"]).toBeUndefined();
    expect(output.shape("rope_freqs.weight")).toEqual([32]);
    expect(output.has("output.weight")).toBe(true);
  });

  test("weightScale overrides what the config says", async () => {
    using direct = await run("tern/random/llama-bitlinear", { weightScale: "direct" });
    using inverse = await run("tern/random/llama-bitlinear");
    const name = "blk.1.ffn_up.weight";
    const product =
      (direct.ternary(name).scales[0] as number) * (inverse.ternary(name).scales[0] as number);
    expect(product).toBeCloseTo(1, 5);
  });

  test("qwen3 keeps its head norms, per-projection norms keep theirs", async () => {
    using qwen = await run("tern/random/qwen3-auto-online");
    expect(qwen.shape("blk.0.attn_q_norm.weight")).toEqual([128]);
    expect(qwen.hyperparameters.headDim).toBe(128);
    using rms = await run("tern/random/llama-rmsnorm");
    expect(rms.shape("blk.0.ffn_down_norm_in.weight")).toEqual([512]);
    expect(rms.hyperparameters.subNormEpsilon).toBeCloseTo(1e-6, 9);
  });
});

describe("metadata", () => {
  test("tokenizer, template and all end tokens are carried over", async () => {
    using output = await run("tern/hf-packed");
    const { metadata } = output;
    expect(metadata["tokenizer.ggml.model"]).toBe("gpt2");
    expect(metadata["tokenizer.ggml.pre"]).toBe("llama-bpe");
    expect(metadata["tokenizer.ggml.bos_token_id"]).toBe(4080);
    expect(metadata["tokenizer.ggml.add_bos_token"]).toBe(true);
    expect([...(metadata["tokenizer.ggml.eos_token_ids"] as Int32Array)].sort()).toEqual([
      4081, 4089,
    ]);
    const theirs = (await openModel(`${fixtures}/gguf/tern-i2_s.gguf`, registry)).metadata;
    for (const key of ["tokens", "merges", "token_type"]) {
      expect(metadata[`tokenizer.ggml.${key}`]).toEqual(theirs[`tokenizer.ggml.${key}`]);
    }
    expect(metadata["tokenizer.chat_template"]).toBe(theirs["tokenizer.chat_template"] as string);
  });

  test("the shipped built-in model is what convert writes", async () => {
    const output = join(folder, "built-in.gguf");
    const name = "Tern 4M (built-in demo)";
    await convert({ source: `${fixtures}/tern/hf-packed`, output, name }, registry);
    const shipped = readFileSync(`${import.meta.dir}/../../apps/models/tern-i2_s.gguf`);
    expect(Buffer.compare(readFileSync(output), shipped)).toBe(0);
  });
});

describe("refusals leave nothing behind", () => {
  const refuse = async (source: string, options: Partial<ConvertOptions>): Promise<string> => {
    const output = join(folder, `refused-${outputs++}.gguf`);
    try {
      await convert({ source: resolve(fixtures, source), output, ...options }, registry);
    } catch (error) {
      expect(existsSync(output)).toBe(false);
      expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
      return (error as Error).message;
    }
    throw new Error("it was converted");
  };

  test("a format that is not there", async () => {
    expect(await refuse("tern/hf-packed", { quantize: "i2s" })).toContain("-q i2s: no such format");
  });

  test("a dense model without --naive", async () => {
    const dense = join(folder, "dense-checkpoint");
    cpSync(`${fixtures}/tern/random/llama-auto-online`, dense, { recursive: true });
    const config = JSON.parse(readFileSync(join(dense, "config.json"), "utf8"));
    writeFileSync(
      join(dense, "config.json"),
      JSON.stringify({ ...config, quantization_config: null }),
    );
    expect(await refuse(dense, { quantize: "tq1_0" })).toContain("7 linears hold dense weights");
    const warnings: string[] = [];
    using naive = await run(dense, { naive: true, warn: (text) => warnings.push(text) });
    expect(naive.tensor("blk.0.ffn_up.weight").format).toBe("i2_s");
    expect(warnings[0]).toContain("expect nonsense");
    const half = join(folder, "half.gguf");
    await convert({ source: dense, output: half, quantize: "q8_0" }, registry);
    expect(await refuse(half, {})).toContain("7 linears hold dense weights");
  });

  test("the output may not be the source, nor replace a file that is kept", async () => {
    const output = join(folder, "kept.gguf");
    await convert({ source: `${fixtures}/tern/hf-packed`, output }, registry);
    const again = { source: `${fixtures}/tern/hf-packed`, output, overwrite: false };
    expect(convert(again, registry)).rejects.toThrow("exists");
    expect(convert({ source: output, output }, registry)).rejects.toThrow("replace the source");
  });

  test("--dry-run tells sizes and writes nothing", async () => {
    const output = join(folder, "dry.gguf");
    const source = `${fixtures}/tern/hf-packed`;
    const report = await convert({ source, output, dryRun: true }, registry);
    expect(report.tensors).toBe(46);
    expect(report.bytes).toBeGreaterThan(2_900_000);
    expect(existsSync(output)).toBe(false);
  });
});
