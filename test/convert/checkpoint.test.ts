// GGUF back to packed checkpoints: weights, names, config and tokenizer as transformers wants them.
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { compareModels } from "../../apps/inspect/diff.ts";
import { createTokenizer } from "../../core/index.ts";
import { openModel } from "../../core/model.ts";
import { fixture, registry } from "../support/runtime.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-checkpoint-"));
afterAll(() => rmSync(folder, { recursive: true }));
const json = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, "utf8"));

let outputs = 0;
async function toCheckpoint(source: string): Promise<string> {
  const output = join(folder, `${outputs++}`);
  await convert({ source, output, quantize: "hf-packed" }, registry);
  return output;
}

describe("packed checkpoints", () => {
  test("of a GGUF file: the same logits as the file", async () => {
    const output = await toCheckpoint(fixture("gguf/tern-i2_s.gguf"));
    const { differences, logits } = await compareModels(
      fixture("gguf/tern-i2_s.gguf"),
      output,
      registry,
      true,
    );
    expect(differences).toEqual([]);
    expect(logits?.identical).toBe(true);
    const theirs = json(fixture("tern/hf-packed/config.json"));
    const ours = json(join(output, "config.json"));
    for (const key of [
      "architectures",
      "model_type",
      "hidden_size",
      "intermediate_size",
      "num_hidden_layers",
      "num_attention_heads",
      "num_key_value_heads",
      "rms_norm_eps",
      "rope_theta",
      "vocab_size",
      "hidden_act",
      "tie_word_embeddings",
      "quantization_config",
      "bos_token_id",
      "eos_token_id",
    ]) {
      expect({ [key]: ours[key] }).toEqual({ [key]: theirs[key] });
    }
  });

  test("its tensors have the names and shapes of the original", async () => {
    const output = await toCheckpoint(fixture("gguf/tern-tq1_0.gguf"));
    using ours = await openModel(output, registry);
    using theirs = await openModel(fixture("tern/hf-packed"), registry);
    expect([...ours.file.tensors.keys()].sort()).toEqual([...theirs.file.tensors.keys()].sort());
    for (const [name, { shape }] of theirs.file.tensors) {
      expect({ name, shape: ours.file.tensors.get(name)?.shape }).toEqual({ name, shape });
    }
    const name = "model.layers.2.mlp.down_proj.weight";
    expect(Buffer.compare(ours.file.bytes(name), theirs.file.bytes(name))).toBe(0);
  });

  test("the tokenizer made from GGUF metadata encodes as the original", async () => {
    using ours = await openModel(await toCheckpoint(fixture("gguf/tern-i2_s.gguf")), registry);
    using theirs = await openModel(fixture("tern/hf-packed"), registry);
    const [a, b] = [createTokenizer(ours.tokenizer!), createTokenizer(theirs.tokenizer!)];
    for (const text of [
      "Once upon a time",
      "I'll pay 12345 €\n\n",
      "<|eot_id|>User: hi",
      "  naïve  ",
    ]) {
      expect(a.encode(text)).toEqual(b.encode(text));
    }
    expect(ours.chatTemplate).toBe(theirs.chatTemplate as string);
  });

  test("llama goes to GGUF and back: q and k rows return to halves", async () => {
    for (const name of ["llama-auto-offline", "llama-rmsnorm", "qwen3-auto-offline"]) {
      const gguf = join(folder, `${name}.gguf`);
      const source = fixture(`tern/random/${name}`);
      await convert({ source, output: gguf, embedding: "bf16", head: "bf16" }, registry);
      const { differences, logits } = await compareModels(
        source,
        await toCheckpoint(gguf),
        registry,
        true,
      );
      expect({ name, differences }).toEqual({ name, differences: [] });
      expect({ name, identical: logits?.identical }).toEqual({ name, identical: true });
    }
  });

  test("experts are taken apart again", async () => {
    const gguf = join(folder, "moe.gguf");
    await convert(
      { source: fixture("tern/moe-packed"), output: gguf, embedding: "bf16" },
      registry,
    );
    const { differences, logits } = await compareModels(
      fixture("tern/moe-packed"),
      await toCheckpoint(gguf),
      registry,
      true,
    );
    expect(differences).toEqual([]);
    expect(logits?.identical).toBe(true);
  });

  test("masters become a packed checkpoint with their tokenizer", async () => {
    const output = await toCheckpoint(fixture("tern/hf-bf16"));
    const { differences } = await compareModels(fixture("tern/hf-bf16"), output, registry, false);
    expect(differences).toEqual([]);
    expect(existsSync(join(output, "tokenizer.json"))).toBe(true);
    expect(json(join(output, "generation_config.json")).eos_token_id).toEqual([4081, 4089]);
  });

  test("an existing folder is not touched", async () => {
    const attempt = convert(
      { source: fixture("tern/hf-packed"), output: folder, quantize: "hf-packed" },
      registry,
    );
    expect(attempt).rejects.toThrow("is a folder");
  });
});
