// Sources that are wrong in one place: each gives one clear error, and nothing is written.
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import type { ConvertOptions } from "../../apps/convert/options.ts";
import { WrinkleFreeError } from "../../core/index.ts";
import { writeFailure } from "../../plugins/gguf/writer.ts";
import {
  type CheckpointTensor,
  type CheckpointTensors,
  readCheckpoint,
  writeCheckpoint,
} from "../support/checkpoint.ts";
import { fixture, registry } from "../support/runtime.ts";
import { torchSave } from "../support/torch-save.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-refusals-"));
afterAll(() => rmSync(folder, { recursive: true }));

let names = 0;
const fresh = (): string => join(folder, `${names++}`);

async function errorOf(source: string, options: Partial<ConvertOptions> = {}): Promise<string> {
  const output = `${fresh()}.gguf`;
  try {
    await convert({ source, output, ...options }, registry);
  } catch (error) {
    expect(error).toBeInstanceOf(WrinkleFreeError);
    expect([output, `${output}.part`, `${output}.part.json`].filter(existsSync)).toEqual([]);
    return (error as Error).message;
  }
  throw new Error("it was converted");
}

const packed = readCheckpoint(fixture("tern/hf-packed"));
const scale = "model.layers.2.mlp.up_proj.weight_scale";
const half = (bits: number): Uint8Array => Uint8Array.from([bits & 255, bits >> 8]);

function changed(
  change: (tensors: CheckpointTensors) => void,
  config: object = packed.config,
): string {
  const tensors = { ...packed.tensors };
  change(tensors);
  return writeCheckpoint(fresh(), config, tensors);
}

describe("packed checkpoints", () => {
  test("a scale that is missing, zero, NaN, infinite or negative", async () => {
    const missing = changed((tensors) => void delete tensors[scale]);
    expect(await errorOf(missing)).toMatch(/blk\.2\.ffn_up\.weight.*scale/);
    for (const bits of [0, 0x7fc0, 0x7f80, 0xbf80]) {
      const tensor = { ...(packed.tensors[scale] as CheckpointTensor), bytes: half(bits) };
      const wrong = changed((tensors) => void Object.assign(tensors, { [scale]: tensor }));
      expect(await errorOf(wrong)).toContain(scale);
    }
  });

  test("codes that no ternary weight has", async () => {
    const name = "model.layers.1.self_attn.q_proj.weight";
    const tensor = packed.tensors[name] as CheckpointTensor;
    const bytes = Uint8Array.from(tensor.bytes);
    bytes[77] = 0xff;
    const wrong = changed(
      (tensors) => void Object.assign(tensors, { [name]: { ...tensor, bytes } }),
    );
    expect(await errorOf(wrong)).toContain("code 3");
  });

  test("tensors that are missing or of another shape than the config says", async () => {
    const noNorm = changed((tensors) => void delete tensors["model.embed_tokens.weight"]);
    expect(await errorOf(noNorm)).toContain("token_embd.weight");
    const other = changed(() => {}, { ...packed.config, hidden_size: 128 });
    expect(await errorOf(other)).toContain("embedding_length");
  });

  test("a config of an unknown family, or with values of a wrong type", async () => {
    const unknown = { ...packed.config, architectures: ["Nonsense"], model_type: "nonsense" };
    expect(await errorOf(changed(() => {}, unknown))).toContain("nonsense");
    const wrong = { ...packed.config, num_hidden_layers: "four" };
    expect(await errorOf(changed(() => {}, wrong))).toContain("num_hidden_layers");
    const none = { ...packed.config, num_attention_heads: undefined };
    expect(await errorOf(changed(() => {}, none))).toContain("num_attention_heads");
  });

  test("an expert that is missing", async () => {
    const { config, tensors } = readCheckpoint(fixture("tern/moe-packed"));
    delete tensors["model.layers.0.mlp.experts.1.up_proj.weight"];
    expect(await errorOf(writeCheckpoint(fresh(), config, tensors))).toMatch(
      /ffn_up_exps.*missing/,
    );
  });
});

describe("masters", () => {
  test("NaN in a weight", async () => {
    const { config, tensors } = readCheckpoint(fixture("tern/hf-bf16"));
    const name = "model.layers.3.mlp.gate_proj.weight";
    const bytes = Uint8Array.from((tensors[name] as CheckpointTensor).bytes);
    bytes.set([0xc0, 0x7f], 1000);
    tensors[name] = { ...(tensors[name] as CheckpointTensor), bytes };
    expect(await errorOf(writeCheckpoint(fresh(), config, tensors))).toContain(
      "blk.3.ffn_gate.weight holds NaN",
    );
  });

  test("a checkpoint of a quantization warm-up is refused, unless it is to be rounded naively", async () => {
    const { config, tensors } = readCheckpoint(fixture("tern/hf-bf16"));
    const saved = Object.fromEntries(
      Object.entries(tensors).map(([name, { shape, bytes }]) => [
        name,
        { storage: "BFloat16Storage" as const, shape, bytes },
      ]),
    );
    const source = `${fresh()}.pt`;
    writeFileSync(
      source,
      torchSave({ model_state_dict: saved, lambda_warmup: { current_lambda: 0.25 } }),
    );
    const path = `${fresh()}.json`;
    writeFileSync(path, JSON.stringify(config));
    expect(await errorOf(source, { config: path })).toContain("warm-up (lambda 0.25)");
    const folder = `${fresh()}-packed`;
    const refused = convert(
      { source, output: folder, config: path, quantize: "hf-packed" },
      registry,
    ).catch((error) => error.message);
    expect(await refused).toContain("warm-up (lambda 0.25)");
    expect(existsSync(folder)).toBe(false);
    const warnings: string[] = [];
    const warn = (text: string) => void warnings.push(text);
    await convert({ source, output: `${fresh()}.gguf`, config: path, naive: true, warn }, registry);
    expect(warnings.join()).toContain("--naive");
  });
});

describe("GGUF files", () => {
  test("a scale of NaN in i2_s", async () => {
    const bytes = readFileSync(fixture("gguf/tern-i2_s.gguf"));
    // blk.0.attn_q.weight: 256 x 256 codes, then the scale.
    bytes.writeFloatLE(NaN, 134048 + 2104320 + (256 * 256) / 4);
    const source = `${fresh()}.gguf`;
    writeFileSync(source, bytes);
    expect(await errorOf(source)).toMatch(/blk\.0\.attn_q\.weight: scale 0 is NaN/);
  });

  test("weights whose scale is 0", async () => {
    const bytes = readFileSync(fixture("gguf/tern-tq2_0.gguf"));
    bytes.writeUInt16LE(0, 134016 + 2104320 + 64);
    const source = `${fresh()}.gguf`;
    writeFileSync(source, bytes);
    expect(await errorOf(source)).toMatch(/blk\.0\.attn_q\.weight: scale 0 is 0/);
  });
});

describe("weight scales", () => {
  test("a direction that the values contradict is warned of", async () => {
    const warnings: string[] = [];
    const options = { output: `${fresh()}.gguf`, warn: (text: string) => warnings.push(text) };
    const source = fixture("tern/random/llama-bitlinear");
    await convert({ source, weightScale: "direct", ...options }, registry);
    expect(warnings.join()).toContain("--weight-scale");
    warnings.length = 0;
    await convert({ source, ...options }, registry);
    expect(warnings.join()).not.toContain("--weight-scale");
  });
});

describe("outputs", () => {
  test("a folder that is not there, and one in the place of the file", async () => {
    const source = fixture("tern/hf-packed");
    const attempt = (output: string): Promise<unknown> =>
      convert({ source, output }, registry).catch((error) => error.message);
    expect(await attempt(join(folder, "no", "such", "x.gguf"))).toContain("cannot write");
    expect(await attempt(folder)).toContain("is a folder");
  });

  test("a full disk says how much room is needed", () => {
    const cause = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    const error = writeFailure("/x.gguf", 3 * 2 ** 20, cause);
    expect(error.hint).toContain("Free 3 MiB");
  });
});
