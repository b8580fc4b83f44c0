// Damaged and hostile GGUF files give one clear error each, and the writer's files read back.
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WrinkleFreeError } from "../../core/index.ts";
import { encodeHeader, type TensorPlan } from "../../plugins/gguf/encode.ts";
import { openGguf } from "../../plugins/gguf/loader.ts";
import { GgufWriter } from "../../plugins/gguf/writer.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-gguf-"));
afterAll(() => rmSync(folder, { recursive: true }));

const metadata = { "general.architecture": "llama", "llama.block_count": 1 };
const tensor = (name: string, shape: number[], type = 0, byteLength = 0): TensorPlan => ({
  name,
  shape,
  type,
  byteLength: byteLength || shape.reduce((a, b) => a * b, 4),
});

let files = 0;
/** The error that a file of these bytes gives. */
function errorOf(bytes: Uint8Array): WrinkleFreeError {
  const path = join(folder, `${files++}.gguf`);
  writeFileSync(path, bytes);
  try {
    openGguf(path)[Symbol.dispose]();
  } catch (error) {
    expect(error).toBeInstanceOf(WrinkleFreeError);
    expect((error as WrinkleFreeError).message).toContain(path);
    return error as WrinkleFreeError;
  }
  throw new Error("the file was read");
}

function file(tensors: TensorPlan[], dataBytes: number, values: object = metadata): Uint8Array {
  const header = encodeHeader(values as typeof metadata, tensors, 32);
  return Buffer.concat([header, new Uint8Array(dataBytes)]);
}

/** Overwrites `length` bytes at the place where `text` begins, plus `offset`. */
function patch(
  bytes: Uint8Array,
  text: string,
  offset: number,
  value: number,
  length = 4,
): Uint8Array {
  const copy = Buffer.from(bytes);
  copy.writeUIntLE(value, copy.indexOf(text) + text.length + offset, Math.min(length, 6));
  return copy;
}

describe("header", () => {
  const good = file([tensor("a", [4, 8])], 128);

  test("not GGUF, wrong versions, other endianness", () => {
    expect(errorOf(Buffer.from("GGML".padEnd(64, "x"))).message).toContain("letters GGUF");
    expect(errorOf(patch(good, "GGUF", 0, 1)).code).toBe("unsupported");
    expect(errorOf(patch(good, "GGUF", 0, 0x03000000)).message).toContain("big-endian");
  });

  test("counts larger than the file", () => {
    expect(errorOf(patch(good, "GGUF", 4, 0xffffffffffff, 6)).message).toContain("tensor count");
    expect(errorOf(patch(good, "GGUF", 12, 1_000_000)).message).toContain("key count");
    expect(errorOf(patch(good, "GGUF", 12, 50)).message).toContain("50 keys and 1 tensors");
  });

  test("a string length past the end", () => {
    const copy = Buffer.from(good);
    copy.writeUInt32LE(0xffffff, 24);
    expect(errorOf(copy).message).toContain("key 0");
  });

  test("an unknown value type, a key twice, a bad alignment", () => {
    expect(errorOf(patch(good, "llama.block_count", 0, 77)).message).toContain("llama.block_count");
    const twice = file([], 0, { "general.name": "x", "general.namf": "y" });
    const copy = Buffer.from(twice);
    copy.write("general.name", copy.indexOf("general.namf"));
    expect(errorOf(copy).message).toContain("general.name appears twice");
    const odd = file([], 32, { "general.alignment": 33 });
    expect(errorOf(odd).message).toContain("general.alignment is 33");
  });

  test("every cut of a file gives an error, none a crash", () => {
    for (let length = 0; length < good.byteLength; length += 5) errorOf(good.subarray(0, length));
  });
});

describe("tensors", () => {
  test("too many dimensions, a dimension of zero or beyond any file", () => {
    const good = file([tensor("abc", [4, 8])], 128);
    expect(errorOf(patch(good, "abc", 0, 9)).message).toContain("abc has 9 dimensions");
    expect(errorOf(patch(good, "abc", 4, 0)).message).toContain("abc has a dimension of 0");
    const huge = patch(good, "abc", 4, 2 ** 47, 6);
    expect(errorOf(patch(huge, "abc", 12, 2 ** 47, 6)).message).toContain("abc");
  });

  test("cut off, misaligned, overlapping, named twice", () => {
    expect(errorOf(file([tensor("a", [64, 64])], 128)).message).toContain("tensor a is cut off");
    const two = file([tensor("first", [8]), tensor("second", [8])], 64);
    expect(errorOf(patch(two, "second", 16, 7)).message).toContain("no multiple of 32");
    expect(errorOf(patch(two, "second", 16, 0)).message).toMatch(/starts where another one does/);
    const same = file([tensor("a", [8]), tensor("a", [8])], 64);
    expect(errorOf(same).message).toContain("appears twice");
  });

  test("rows that are no whole blocks", () => {
    const odd = file([tensor("q", [4, 33], 8, 160)], 160);
    expect(errorOf(odd).message).toContain("blocks of 32");
  });

  test("q2_0: groups of 64 and 128 are told apart by the room they take", () => {
    for (const [bytes, format] of [
      [4608, "q2_0"],
      [4352, "q2_0_g128"],
    ] as const) {
      const path = join(folder, `${format}.gguf`);
      writeFileSync(path, file([tensor("q", [128, 128], 42, bytes), tensor("z", [8])], bytes + 32));
      using opened = openGguf(path);
      expect(opened.tensors.get("q")?.format).toBe(format);
    }
    const neither = file([tensor("q", [128, 128], 42, 5000), tensor("z", [8])], 5056);
    expect(errorOf(neither).message).toContain("neither in groups of 64 nor of 128");
  });
});

describe("writer", () => {
  const plan = [tensor("a", [2, 3]), tensor("b", [5])];
  const values = {
    "general.architecture": "llama",
    "x.float": 0.25,
    "x.freq_base": 500000,
    "x.big": 2n ** 60n,
    "x.negative": -3,
    "x.flag": true,
    "x.words": ["ä", "", "ß"],
    "x.numbers": [1, 2, 3],
    "x.f32": Float32Array.from([1.5, -2]),
  };

  test("what is written reads back", () => {
    const path = join(folder, "written.gguf");
    const writer = new GgufWriter(path, values, plan);
    writer.write("a", new Uint8Array(24).fill(1));
    writer.write("b", new Uint8Array(12).fill(2));
    writer.write("b", new Uint8Array(8).fill(3));
    expect(existsSync(path)).toBe(false);
    writer.complete();
    writer.rename();
    using opened = openGguf(path);
    expect([...opened.bytes("b")]).toEqual([...Array(12).fill(2), ...Array(8).fill(3)]);
    expect(opened.metadata["x.big"]).toBe(2n ** 60n);
    expect(opened.metadata["x.words"]).toEqual(["ä", "", "ß"]);
    expect(opened.metadata["x.float"]).toBe(0.25);
    expect(opened.metadata["x.negative"]).toBe(-3);
    expect(opened.metadataTypes.get("x.freq_base")).toBe(6);
    expect([...(opened.metadata["x.f32"] as Float32Array)]).toEqual([1.5, -2]);
  });

  test("an aborted file leaves nothing; a missing folder says so", () => {
    const path = join(folder, "aborted.gguf");
    const writer = new GgufWriter(path, values, plan);
    writer.write("a", new Uint8Array(24));
    expect(() => writer.complete()).toThrow("b was not written");
    writer.abort();
    expect(existsSync(path) || existsSync(writer.temporary)).toBe(false);
    const lost = join(folder, "no", "such", "folder.gguf");
    expect(() => new GgufWriter(lost, values, plan)).toThrow("cannot write");
  });
});
