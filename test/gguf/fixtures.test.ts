// GGUF files that other programs wrote hold exactly the weights of the checkpoint they were made from.
import { describe, expect, test } from "bun:test";
import { createRegistry } from "../../apps/plugins.ts";
import { openModel } from "../../core/model.ts";
import { testLoader } from "../../core/testing/loader.ts";
import { ggufLoader, openGguf } from "../../plugins/gguf/loader.ts";

const fixtures = `${import.meta.dir}/../fixtures`;
const formats = ["i2_s", "iq1_bn", "iq2_bn", "tq1_0", "tq2_0"];
const registry = await createRegistry();

describe("files of other programs", () => {
  for (const format of formats) {
    test(`${format} equals the packed checkpoint`, async () => {
      using ours = await openModel(`${fixtures}/gguf/tern-${format}.gguf`, registry);
      using reference = await openModel(`${fixtures}/tern/hf-packed`, registry);
      let compared = 0;
      for (const tensor of reference.tensors.values()) {
        if (!tensor.ternary) continue;
        const [a, b] = [ours.ternary(tensor.name), reference.ternary(tensor.name)];
        expect(ours.tensor(tensor.name).format).toBe(format);
        expect(Buffer.compare(Buffer.from(a.trits.buffer), Buffer.from(b.trits.buffer))).toBe(0);
        expect(a.scales.every((scale) => scale === b.scales[0])).toBe(true);
        compared++;
      }
      expect(compared).toBe(28);
      const { architecture, hidden, layers, heads, kvHeads } = ours.hyperparameters;
      expect([architecture, hidden, layers, heads, kvHeads]).toEqual([
        "bitnet-b1.58",
        256,
        4,
        4,
        2,
      ]);
    });
  }

  test("floats and metadata are what the header says", () => {
    using file = openGguf(`${fixtures}/gguf/tern-i2_s.gguf`);
    expect(file.version).toBe(3);
    expect(file.tensors.size).toBe(46);
    expect(file.metadata["bitnet-b1.58.rope.freq_base"]).toBe(500000);
    const tokens = file.metadata["tokenizer.ggml.tokens"] as string[];
    expect(tokens.length).toBe(4096);
    expect(tokens[4089]).toBe("<|eot_id|>");
    const source = file.tokenizer;
    if (source?.kind !== "gguf") throw new Error("no tokenizer");
    const packed = source.strings?.("tokenizer.ggml.tokens");
    expect(packed?.count).toBe(4096);
    const view = Buffer.from(packed?.bytes ?? []);
    expect(view.readBigUInt64LE(0)).toBe(1n);
    expect(view.toString("utf8", 8, 9)).toBe(tokens[0] as string);
    expect(view.subarray(-(tokens[4095] as string).length).toString()).toBe(tokens[4095] as string);
    expect(source.strings?.("general.name")).toBeUndefined();
    expect(file.chatTemplate).toContain("Assistant: ");
    const norm = file.tensors.get("output_norm.weight");
    expect(norm?.shape).toEqual([256]);
    expect(file.tensors.get("blk.0.ffn_down.weight")?.shape).toEqual([256, 768]);
  });
});

test("the loader passes the conformance suite", async () => {
  await testLoader(ggufLoader, `${fixtures}/gguf/tern-iq1_bn.gguf`);
});

test("a loader that reads truncated files is found out", async () => {
  const broken = { ...ggufLoader, open: () => ggufLoader.open(`${fixtures}/gguf/tern-i2_s.gguf`) };
  const run = testLoader(broken, `${fixtures}/gguf/tern-iq2_bn.gguf`);
  expect(run).rejects.toThrow('loader "gguf"');
});
