// PyTorch files: tensors are found, nothing is executed, WrinkleFree's own checkpoints convert.
import { afterAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { openRuntime } from "../../core/engine/runtime.ts";
import { WrinkleFreeError } from "../../core/index.ts";
import { openModel } from "../../core/model.ts";
import { testLoader } from "../../core/testing/loader.ts";
import { openPytorch, pytorchLoader } from "../../plugins/pytorch/loader.ts";
import { openSglbitnt } from "../../plugins/pytorch/sglbitnt.ts";
import { openSafetensors } from "../../plugins/safetensors/loader.ts";
import { evaluate, fixture, hashOf, openFixture, registry } from "../support/runtime.ts";
import { type SavedTensor, torchSave } from "../support/torch-save.ts";

const config = { model_type: "llama" };
const folder = mkdtempSync(join(tmpdir(), "wrinklefree-pytorch-"));
afterAll(() => rmSync(folder, { recursive: true }));

const messageOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing was thrown";
};

describe("files that Python's pickle wrote", () => {
  test("tensors, views on one storage, and plain data beside them", () => {
    using file = openPytorch(fixture("pytorch/small.pt"), { config });
    expect([...file.tensors.keys()]).toEqual(["a.weight", "tail", "half", "steps"]);
    expect(file.tensors.get("a.weight")?.shape).toEqual([2, 3]);
    const floats = (name: string): number[] => [
      ...new Float32Array(Uint8Array.from(file.bytes(name)).buffer),
    ];
    expect(floats("a.weight")).toEqual([0, 1, 2, 3, 4, 5]);
    expect(floats("tail")).toEqual([4, 5]);
    expect(file.tensors.get("half")?.format).toBe("bf16");
    expect(file.tensors.get("steps")?.format).toBe("i64");
  });

  test("a pickle that calls something is refused by its name, and nothing runs", () => {
    const message = messageOf(() => openPytorch(fixture("pytorch/evil.pt"), { config }));
    expect(message).toMatch(/evil\.pt: the pickle asks for (posix|os)\.system, which is refused/);
    expect(existsSync("/tmp/wrinklefree-pwned")).toBe(false);
  });

  test("a transposed view is refused with what to do", () => {
    const message = messageOf(() => openPytorch(fixture("pytorch/transposed.pt"), { config }));
    expect(message).toContain("tensor x is not contiguous");
  });
});

describe("damage", () => {
  const weight: SavedTensor = { storage: "FloatStorage", shape: [2, 2], bytes: new Uint8Array(16) };
  const open = (bytes: Uint8Array): string => {
    const path = join(folder, "damaged.pt");
    writeFileSync(path, bytes);
    return messageOf(() => openPytorch(path, { config }));
  };

  test("the loader passes the conformance suite", async () => {
    const path = join(folder, "suite");
    mkdirSync(path);
    writeFileSync(join(path, "model.pt"), torchSave({ weight }));
    writeFileSync(join(path, "config.json"), JSON.stringify(config));
    await testLoader(pytorchLoader, path, { tensorFile: "model.pt" });
  });

  test("a tensor larger than its storage", () => {
    expect(open(torchSave({ weight: { ...weight, shape: [2, 3] } }))).toContain(
      "does not fit its storage",
    );
  });

  test("no tensors, no dictionary, no pickle", () => {
    expect(open(torchSave({ step: 3 }))).toContain("it holds no tensors");
    expect(open(Buffer.from("PK\x03\x04".padEnd(64)))).toContain("no zip directory");
  });

  test("flipped bytes give an error or other values, never something else", () => {
    const whole = torchSave({ a: weight, b: { c: weight, d: 1.5, e: "text" } });
    const path = join(folder, "flipped.pt");
    let errors = 0;
    for (let at = 0; at < whole.length; at++) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
      writeFileSync(path, bytes);
      try {
        openPytorch(path, { config })[Symbol.dispose]();
      } catch (error) {
        expect(error).toBeInstanceOf(WrinkleFreeError);
        errors++;
      }
    }
    expect(errors).toBeGreaterThan(100);
  });

  test("files of torch before 1.6 are refused with what to do", () => {
    expect(open(Buffer.from([0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46]))).toContain("before 1.6");
  });

  test("a missing shard", () => {
    const path = join(folder, "shards");
    mkdirSync(path);
    const map = { a: "pytorch_model-1.bin", b: "pytorch_model-2.bin" };
    writeFileSync(join(path, "pytorch_model.bin.index.json"), JSON.stringify({ weight_map: map }));
    writeFileSync(join(path, "pytorch_model-1.bin"), torchSave({ a: weight }));
    expect(messageOf(() => openPytorch(path, { config }))).toContain(
      "pytorch_model-2.bin: this shard is missing",
    );
    writeFileSync(join(path, "pytorch_model-2.bin"), torchSave({ b: weight }));
    using file = openPytorch(path, { config });
    expect([...file.tensors.keys()]).toEqual(["a", "b"]);
  });
});

/** The bf16 masters of a fixture under other names. */
function mastersAs(rename: (name: string) => string | undefined): Record<string, SavedTensor> {
  using source = openSafetensors(fixture("tern/hf-bf16"));
  const tensors: Record<string, SavedTensor> = {};
  for (const [name, info] of source.tensors) {
    const other = rename(name);
    if (other === undefined) continue;
    const bytes = Uint8Array.from(source.bytes(name));
    tensors[other] = { storage: "BFloat16Storage", shape: info.shape, bytes };
  }
  return tensors;
}

const tokens = [4080, 490, 474, 257, 423, 11, 99, 1000];

describe("checkpoints that WrinkleFree trained", () => {
  test("converted in place: sub-norms as part 0 of o_proj and down_proj", async () => {
    const run = join(folder, "run");
    const step = join(run, "checkpoints", "step-100");
    mkdirSync(step, { recursive: true });
    const tensors = mastersAs((name) =>
      `_orig_mod.${name}`
        .replace(/(o_proj|down_proj)\.weight$/, "$1.1.weight")
        .replace("self_attn.attn_sub_norm.", "self_attn.o_proj.0.")
        .replace("mlp.ffn_sub_norm.", "mlp.down_proj.0."),
    );
    writeFileSync(
      join(step, "checkpoint.pt"),
      torchSave({ model_state_dict: tensors, optimizer_state_dict: { lr: 0.5 }, step: 100 }),
    );
    cpSync(fixture("tern/hf-bf16/config.json"), join(run, "config.json"));
    const config = JSON.parse(readFileSync(join(run, "config.json"), "utf8"));
    delete config.quantization_config;
    writeFileSync(join(run, "config.json"), JSON.stringify(config));
    const output = join(folder, "in-place.gguf");
    await convert({ source: join(step, "checkpoint.pt"), output }, registry);
    using model = await openModel(output, registry);
    using reference = await openModel(fixture("tern/hf-bf16"), registry);
    const name = "blk.3.ffn_down.weight";
    expect(model.ternary(name).trits).toEqual(reference.ternary(name).trits);
    expect(model.hyperparameters.subNormEpsilon).toBeCloseTo(1e-6, 10);
    expect(model.hyperparameters.normEpsilon).toBeCloseTo(1e-5, 10);
  });

  test("BitNetLlama: RoPE on neighbours, rows brought to halves, the same logits", async () => {
    const permuted = mastersAs((name) => name);
    const names: Record<string, string> = {
      "self_attn.attn_sub_norm": "self_attn.subln",
      "mlp.ffn_sub_norm": "mlp.subln",
    };
    const tensors: Record<string, SavedTensor> = {};
    for (const [name, tensor] of Object.entries(permuted)) {
      let own = name.replace(/^model\./, "").replace(/^(layers|norm)\./, "transformer.$1.");
      for (const [from, to] of Object.entries(names)) own = own.replace(from, to);
      const heads = /[qk]_proj\.weight$/.test(name);
      tensors[own] = heads ? { ...tensor, bytes: neighbours(tensor.bytes, 512, 64) } : tensor;
    }
    const path = join(folder, "bitnet-llama.pt");
    writeFileSync(path, torchSave(tensors as never));
    const config = JSON.parse(readFileSync(fixture("tern/hf-bf16/config.json"), "utf8"));
    const own = {
      ...config,
      quantization_config: undefined,
      architectures: ["Custom"],
      model_type: "x",
      rms_norm_eps: 1e-5,
      sub_norm_eps: 1e-5,
    };
    const configPath = join(folder, "bitnet-llama.json");
    writeFileSync(configPath, JSON.stringify(own));
    const output = join(folder, "bitnet-llama.gguf");
    await convert({ source: path, output, config: configPath, embedding: "bf16" }, registry);
    using model = await openRuntime({ model: output, threads: 1, maxSequences: 1 }, registry);
    using reference = await openFixture("tern/hf-bf16", { threads: 1, maxSequences: 1 });
    expect(hashOf(evaluate(model, tokens))).toBe(hashOf(evaluate(reference, tokens)));
  });
});

/** Rows of each head reordered from halves to neighbours, as a model that rotates neighbours has them. */
function neighbours(bytes: Uint8Array, rowBytes: number, headDim: number): Uint8Array {
  const result = new Uint8Array(bytes.byteLength);
  for (let row = 0; row < bytes.byteLength / rowBytes; row++) {
    const inHead = row % headDim;
    const half = headDim / 2;
    const target = row - inHead + 2 * (inHead % half) + (inHead < half ? 0 : 1);
    result.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), target * rowBytes);
  }
  return result;
}

describe("SGLBITNT", () => {
  const u32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const text = (value: string): Buffer =>
    Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value)]);

  function file(): Buffer {
    const trits = Float32Array.from({ length: 512 }, (_, i) => ((i * 7) % 3) - 1);
    const packed = registry.quantizer("sglang").encode(trits, [4, 128]);
    const scale = Buffer.alloc(4);
    scale.writeFloatLE(0.25);
    return Buffer.concat([
      Buffer.from("SGLBITNT"),
      u32(1),
      text(JSON.stringify({ model_type: "bitnet" })),
      u32(2),
      text("model.layers.0.self_attn.q_proj.weight"),
      u32(0),
      u32(2),
      u32(4),
      u32(32),
      u32(1),
      scale,
      u32(128),
      u32(0),
      packed.bytes,
      text("model.norm.weight"),
      u32(1),
      u32(1),
      u32(2),
      u32(0),
      u32(8),
      u32(0),
      Buffer.alloc(8),
    ]);
  }

  test("tensors and scales", () => {
    const path = join(folder, "small.bin");
    writeFileSync(path, file());
    using opened = openSglbitnt(path);
    const name = "model.layers.0.self_attn.q_proj";
    expect(opened.tensors.get(`${name}.qweight`)).toMatchObject({
      shape: [4, 128],
      format: "sglang",
    });
    const scale = new Float32Array(Uint8Array.from(opened.bytes(`${name}.weight_scale`)).buffer);
    expect([...scale]).toEqual([0.25]);
    const decoded = registry
      .quantizer("sglang")
      .decode({ bytes: opened.bytes(`${name}.qweight`), scale }, [4, 128]);
    expect([...decoded.subarray(0, 3)]).toEqual([-0.25, 0, 0.25]);
  });

  test("every cut gives an error", () => {
    const path = join(folder, "cut.bin");
    const whole = file();
    for (let length = 8; length < whole.length; length += 9) {
      writeFileSync(path, whole.subarray(0, length));
      expect(messageOf(() => openSglbitnt(path))).toContain("cut.bin");
    }
  });
});
