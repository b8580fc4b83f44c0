// longrope (MiniCPM, BitCPM): factors for short and long contexts, and the factor on cos and sin.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { openRuntime } from "../../core/engine/runtime.ts";
import { openModel } from "../../core/model.ts";
import { readCheckpoint, scaled, writeCheckpoint } from "../support/checkpoint.ts";
import { cosine, evaluate, fixture, hashOf, registry } from "../support/runtime.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-longrope-"));
afterAll(() => rmSync(folder, { recursive: true }));
const tokens = [1, 11, 48, 85, 122, 159, 196, 233, 270, 307, 344, 381];

const { config, tensors } = readCheckpoint(fixture("tern/random/llama-auto-offline"));
const pairs = Number(config.head_dim ?? 64) / 2;
/** At 256 of 16 trained positions cos and sin grow by sqrt(1 + ln 16 / ln 16): q times k by 2. */
const [original, extended] = [16, 256];
const longrope = {
  ...config,
  max_position_embeddings: extended,
  rope_scaling: {
    rope_type: "longrope",
    short_factor: new Array(pairs).fill(2),
    long_factor: new Array(pairs).fill(4),
    original_max_position_embeddings: original,
  },
};
let names = 0;
const fresh = (): string => join(folder, `${names++}`);

/** The same model with one factor for all frequencies, and q twice as large. */
function linear(factor: number): string {
  const own = { ...tensors };
  for (const [name, tensor] of Object.entries(own)) {
    if (name.endsWith("q_proj.weight_scale")) own[name] = scaled(tensor, 2);
  }
  const plain = { ...config, rope_scaling: { rope_type: "linear", factor } };
  return writeCheckpoint(fresh(), plain, own);
}

async function logitsOf(model: string, contextLength: number): Promise<Float32Array[]> {
  using runtime = await openRuntime(
    { model, contextLength, threads: 1, maxSequences: 1 },
    registry,
  );
  return evaluate(runtime, tokens);
}

/** Smallest cosine of rows that belong together. */
function closeness(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  return Math.min(...a.map((row, i) => cosine(row, b[i]!)));
}

/** Roundings of activations to 8 bits may fall otherwise. */
function expectClose(a: readonly Float32Array[], b: readonly Float32Array[]): void {
  expect(closeness(a, b)).toBeGreaterThan(0.9999);
}

describe("longrope", () => {
  test("the context of a run chooses the factors", async () => {
    const source = writeCheckpoint(fresh(), longrope, tensors);
    const [short, long] = [await logitsOf(source, original), await logitsOf(source, extended)];
    expect(hashOf(short)).not.toBe(hashOf(long));
    expect(closeness(short, long)).toBeLessThan(0.9995);
    expectClose(short, await logitsOf(linear(2), original));
    expectClose(long, await logitsOf(linear(4), extended));
  });

  test("a GGUF file holds both as tensors, as llama.cpp's files do", async () => {
    const source = writeCheckpoint(fresh(), longrope, tensors);
    const output = `${fresh()}.gguf`;
    await convert({ source, output, embedding: "bf16", head: "bf16" }, registry);
    using model = await openModel(output, registry);
    expect([...model.floats("rope_factors_long.weight")]).toEqual(new Array(pairs).fill(4));
    expect([...model.floats("rope_factors_short.weight")]).toEqual(new Array(pairs).fill(2));
    for (const context of [original, extended]) {
      expectClose(await logitsOf(output, context), await logitsOf(source, context));
    }
  });

  test("factors of a wrong number are refused", async () => {
    const wrong = { ...longrope.rope_scaling, short_factor: [1, 2, 3] };
    const source = writeCheckpoint(fresh(), { ...longrope, rope_scaling: wrong }, tensors);
    const error = await logitsOf(source, original).catch((reason) => reason);
    expect(error.message).toContain(`short_factor does not hold ${pairs} factors`);
  });
});
