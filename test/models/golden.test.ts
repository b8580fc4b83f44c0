// Llama and Qwen3 checkpoints, as they are and converted, against golden outputs of transformers.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { openRuntime, type Runtime } from "../../core/engine/runtime.ts";
import {
  argmax,
  cosine,
  evaluate,
  fixture,
  floatsOfBase64,
  golden,
  hashOf,
  openFixture,
  registry,
} from "../support/runtime.ts";

interface GoldenModel {
  readonly name: string;
  readonly checkpoint: string;
  readonly ids: number[];
  readonly logits: { readonly rows: number[]; readonly data: string[] };
  readonly greedy_ids: number[];
  readonly greedy_top2_gaps: number[];
}

const { models } = await golden<{ models: GoldenModel[] }>("tern/random.json");
const folder = mkdtempSync(join(tmpdir(), "wrinklefree-models-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Smallest cosine of logits that int8 rounding flips explain in two layers of random weights. */
const minimumCosine = 0.999;

function check(runtime: Runtime, model: GoldenModel): void {
  const rows = evaluate(runtime, model.ids);
  model.logits.rows.forEach((row, i) => {
    const reference = floatsOfBase64(model.logits.data[i] as string);
    const similarity = cosine(rows[row] as Float32Array, reference);
    expect({ row, close: similarity >= minimumCosine, similarity }).toMatchObject({ close: true });
  });
  const tokens = [...model.ids];
  for (const [i, expected] of model.greedy_ids.entries()) {
    if ((model.greedy_top2_gaps[i] as number) < 0.1) break;
    const token = argmax(evaluate(runtime, tokens, "last")[0] as Float32Array);
    expect({ i, token }).toEqual({ i, token: expected });
    tokens.push(expected);
  }
}

describe("checkpoints of other families", () => {
  for (const model of models) {
    test(model.name, async () => {
      using runtime = await openFixture(`tern/${model.checkpoint}`);
      check(runtime, model);
    });

    test(`${model.name} converted to GGUF`, async () => {
      const output = join(folder, `${model.name}.gguf`);
      await convert({ source: fixture(`tern/${model.checkpoint}`), output }, registry);
      using runtime = await openRuntime({ model: output, threads: 2, maxSequences: 2 }, registry);
      check(runtime, model);
    });
  }
});

describe("formats", () => {
  const formats = [
    "i2_s",
    "tl1",
    "tl2",
    "tq1_0",
    "tq2_0",
    "iq1_bn",
    "iq2_bn",
    "q2_0",
    "q2_0_g128",
    "pq2_0",
    "sglang",
    "hf-packed",
  ];
  const tokens = Array.from({ length: 40 }, (_, i) => (i === 0 ? 4080 : (i * 53 + 7) % 4080));
  let expected: string | undefined;
  for (const quantize of formats) {
    test(`logits from ${quantize} are the same bits as from any other format`, async () => {
      const output = join(folder, `tern-${quantize}.gguf`);
      await convert({ source: fixture("tern/hf-packed"), output, quantize }, registry);
      using runtime = await openRuntime({ model: output, threads: 2, maxSequences: 2 }, registry);
      const hash = hashOf(evaluate(runtime, tokens));
      expected ??= hash;
      expect(hash).toBe(expected);
    });
  }

  test("and as from the files of other programs and the packed checkpoint", async () => {
    // The embeddings of iq1_bn and iq2_bn files are q6_k: other values.
    for (const path of ["gguf/tern-i2_s.gguf", "gguf/tern-tq1_0.gguf", "gguf/tern-tq2_0.gguf"]) {
      using runtime = await openFixture(path);
      expect({ path, hash: hashOf(evaluate(runtime, tokens)) }).toEqual({
        path,
        hash: expected as string,
      });
    }
  });
});
