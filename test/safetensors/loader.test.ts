// Safetensors checkpoints: single and sharded, what lies beside them, and damage.
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WrinkleFreeError } from "../../core/index.ts";
import { testLoader } from "../../core/testing/loader.ts";
import { openSafetensors, safetensorsLoader } from "../../plugins/safetensors/loader.ts";

const packed = `${import.meta.dir}/../fixtures/tern/hf-packed`;
const root = mkdtempSync(join(tmpdir(), "wrinklefree-safetensors-"));
afterAll(() => rmSync(root, { recursive: true }));

let folder = root;
let folders = 0;
beforeEach(() => {
  folder = join(root, `${folders++}`);
  mkdirSync(folder);
  writeFileSync(join(folder, "config.json"), "{}");
});

type Entry = { dtype: string; shape: number[]; data_offsets: [number, number] };

function encode(entries: Record<string, Entry>, dataBytes: number): Buffer {
  const header = Buffer.from(JSON.stringify(entries));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.byteLength));
  return Buffer.concat([length, header, Buffer.alloc(dataBytes, 1)]);
}

const write = (name: string, content: Uint8Array | object): void =>
  writeFileSync(
    join(folder, name),
    content instanceof Uint8Array ? content : JSON.stringify(content),
  );
const f32 = (from: number, count: number): Entry => ({
  dtype: "F32",
  shape: [count],
  data_offsets: [from, from + 4 * count],
});

function errorOf(path = folder): WrinkleFreeError {
  try {
    openSafetensors(path)[Symbol.dispose]();
  } catch (error) {
    expect(error).toBeInstanceOf(WrinkleFreeError);
    return error as WrinkleFreeError;
  }
  throw new Error("it was read");
}

describe("checkpoints", () => {
  test("packed matrices have their logical shape", () => {
    using file = openSafetensors(packed);
    const gate = file.tensors.get("model.layers.0.mlp.gate_proj.weight");
    expect(gate?.shape).toEqual([768, 256]);
    expect(gate?.format).toBe("hf-packed");
    expect(file.bytes("model.layers.0.mlp.gate_proj.weight").byteLength).toBe((768 * 256) / 4);
    expect(file.tensors.get("model.norm.weight")?.format).toBe("bf16");
    expect(file.config?.model_type).toBe("bitnet");
    expect(file.generationConfig?.eos_token_id).toEqual([4081, 4089]);
    expect(file.tokenizer?.kind).toBe("hf");
    expect(file.chatTemplate).toContain("add_generation_prompt");
  });

  test("the loader passes the conformance suite", async () => {
    await testLoader(safetensorsLoader, packed, { tensorFile: "model.safetensors" });
  });

  test("shards are found by the index", () => {
    write("a.safetensors", encode({ x: f32(0, 2) }, 8));
    write("b.safetensors", encode({ y: f32(0, 3) }, 12));
    write("model.safetensors.index.json", {
      weight_map: { x: "a.safetensors", y: "b.safetensors" },
    });
    using file = openSafetensors(folder);
    expect([...file.tensors.keys()]).toEqual(["x", "y"]);
    expect(file.bytes("y").byteLength).toBe(12);
  });

  test("chat_template.jinja comes before tokenizer_config.json, a list gives its default", () => {
    write("model.safetensors", encode({ x: f32(0, 2) }, 8));
    const list = [
      { name: "tool_use", template: "T" },
      { name: "default", template: "D" },
    ];
    write("tokenizer_config.json", { chat_template: list });
    expect(openSafetensors(folder).chatTemplate).toBe("D");
    write("chat_template.jinja", Buffer.from("J"));
    expect(openSafetensors(folder).chatTemplate).toBe("J");
  });
});

describe("damage", () => {
  test("a missing shard, a missing tensor, a path out of the folder", () => {
    write("a.safetensors", encode({ x: f32(0, 2) }, 8));
    write("model.safetensors.index.json", {
      weight_map: { x: "a.safetensors", y: "b.safetensors" },
    });
    expect(errorOf().message).toContain("b.safetensors: this shard is missing");
    write("model.safetensors.index.json", { weight_map: { z: "a.safetensors" } });
    expect(errorOf().message).toContain("tensor z is missing");
    write("model.safetensors.index.json", { weight_map: { x: "../a.safetensors" } });
    expect(errorOf().message).toContain('"../a.safetensors"');
  });

  test("one tensor in two shards, several files without an index", () => {
    write("a.safetensors", encode({ x: f32(0, 2) }, 8));
    write("b.safetensors", encode({ x: f32(0, 2), y: f32(8, 1) }, 12));
    expect(errorOf().message).toContain("no model.safetensors.index.json");
    write("model.safetensors.index.json", {
      weight_map: { x: "a.safetensors", y: "b.safetensors" },
    });
    expect(errorOf().message).toContain("tensor x is in two shards");
  });

  test("offsets past the end, overlaps, sizes that disagree, unknown dtypes", () => {
    const single = (entries: Record<string, unknown>, bytes: number): string => {
      write("model.safetensors", encode(entries as Record<string, Entry>, bytes));
      return errorOf().message;
    };
    expect(single({ x: f32(0, 4) }, 8)).toContain("tensor x lies at bytes 0..16");
    expect(single({ x: f32(0, 2), y: f32(4, 2) }, 12)).toContain("tensor y overlaps x");
    expect(single({ x: { ...f32(0, 2), shape: [3] } }, 8)).toContain("needs 12 bytes");
    expect(single({ x: { ...f32(0, 2), dtype: "F7" } }, 8)).toContain("unknown dtype F7");
    expect(single({ x: { ...f32(0, 2), shape: [-2] } }, 8)).toContain("no proper shape");
    expect(single({ x: { ...f32(0, 2), data_offsets: [8, 0] } }, 8)).toContain("lies at bytes");
    expect(single({ x: null }, 8)).toContain("unknown dtype");
  });

  test("a header that is no JSON, or longer than the file", () => {
    const bytes = encode({ x: f32(0, 2) }, 8);
    bytes.write("]", 8);
    write("model.safetensors", bytes);
    expect(errorOf().message).toContain("the header is not JSON");
    bytes.writeBigUInt64LE(1n << 40n);
    write("model.safetensors", bytes);
    expect(errorOf().message).toContain("the header is said to take");
  });

  test("JSON files beside the tensors", () => {
    write("model.safetensors", encode({ x: f32(0, 2) }, 8));
    write("config.json", Buffer.from("{broken"));
    expect(errorOf().message).toContain("config.json: not JSON");
    write("config.json", [1]);
    expect(errorOf().message).toContain("config.json: not a JSON object");
  });

  test("no config.json: the error says how to give one", () => {
    write("model.safetensors", encode({ x: f32(0, 2) }, 8));
    rmSync(join(folder, "config.json"));
    expect(errorOf().hint).toContain("--config");
    using file = openSafetensors(folder, { config: { model_type: "llama" } });
    expect(file.config?.model_type).toBe("llama");
  });

  test("a folder without tensors is not accepted", () => {
    expect(safetensorsLoader.accepts(folder, new Uint8Array(0))).toBe(false);
    expect(errorOf().message).toContain("no .safetensors file");
  });
});
