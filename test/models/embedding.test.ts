// Embedding models (bitnet-embedding): a norm before every linear, pooling, the end token behind a text.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { openRuntime } from "../../core/engine/runtime.ts";
import { openModel } from "../../core/model.ts";
import { readCheckpoint, vector, writeCheckpoint } from "../support/checkpoint.ts";
import { evaluate, fixture, hashOf, registry } from "../support/runtime.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-embedding-"));
afterAll(() => rmSync(folder, { recursive: true }));

const { config, tensors } = readCheckpoint(fixture("tern/random/qwen3-auto-online"));
const { quantization_config: _, ...plain } = config;

/** The checkpoint as such models are published: no head, no prefix, masters, norms beside linears. */
function published(pooling: string | undefined, norms = true): string {
  const place = join(folder, `${pooling}-${norms}`);
  const own: typeof tensors = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    if (name.startsWith("lm_head")) continue;
    const path = name.replace(/^model\./, "");
    own[path] = tensor;
    const columns = tensor.shape[1];
    if (norms && columns && path.endsWith("_proj.weight")) {
      own[path.replace(/weight$/, "norm.weight")] = vector(columns, 0.25);
    }
  }
  const named = { ...plain, architectures: ["Qwen3Model"], tie_word_embeddings: true };
  writeCheckpoint(place, named, own);
  if (pooling !== undefined) {
    mkdirSync(join(place, "1_Pooling"));
    const modes = { pooling_mode_mean_tokens: false, [`pooling_mode_${pooling}`]: true };
    writeFileSync(join(place, "1_Pooling/config.json"), JSON.stringify(modes));
  }
  return place;
}

async function hashed(model: string): Promise<string> {
  using runtime = await openRuntime({ model, threads: 1, maxSequences: 1 }, registry);
  return hashOf(evaluate(runtime, [1, 11, 48, 85, 122]));
}

describe("bitnet-embedding", () => {
  test("masters are ternarized, norms kept, and the file says how to pool", async () => {
    const source = published("lasttoken");
    const output = join(folder, "embedding.gguf");
    await convert({ source, output, embedding: "bf16" }, registry);
    using model = await openModel(output, registry);
    expect(model.metadata["qwen3.pooling_type"]).toBe(3);
    expect(model.tensor("blk.0.attn_q.weight").format).toBe("i2_s");
    expect(model.has("blk.0.ffn_down_norm_in.weight")).toBe(true);
    expect(model.hyperparameters.subNormEpsilon).toBeCloseTo(1e-6, 12);
    using runtime = await openRuntime({ model: output, threads: 1, maxSequences: 1 }, registry);
    expect(runtime.info.pooling).toBe("last");
    expect(await hashed(output)).toBe(await hashed(source));
  });

  test("the norms act", async () => {
    const ternary = { ...plain, quantization_config: config.quantization_config };
    const without = published(undefined, false);
    writeFileSync(join(without, "config.json"), JSON.stringify(ternary));
    expect(await hashed(without)).not.toBe(await hashed(published("cls_token")));
  });

  test("other poolings, and none", async () => {
    for (const [mode, type] of [
      ["mean_tokens", 1],
      ["unheard_of", undefined],
    ] as const) {
      using model = await openModel(published(mode), registry);
      expect(model.metadata["qwen3.pooling_type"]).toBe(type as never);
    }
  });
});
