// Names of checkpoints' tensors in GGUF's words; names that every JavaScript object has are none.
import { expect, test } from "bun:test";
import { mapName } from "../../plugins/models/names.ts";

test("maps names behind wrappers, norms before linears, and experts", () => {
  expect(mapName("model.layers.3.self_attn.q_proj.weight")).toEqual({
    name: "blk.3.attn_q.weight",
  });
  expect(mapName("_orig_mod.model.embed_tokens.weight")).toEqual({ name: "token_embd.weight" });
  expect(mapName("model.layers.0.mlp.up_proj.rms_norm.weight")).toEqual({
    name: "blk.0.ffn_up_norm_in.weight",
  });
  expect(mapName("model.layers.1.mlp.experts.7.w2.weight")).toEqual({
    name: "blk.1.ffn_down_exps.weight",
    expert: 7,
  });
});

test("finds nothing for constructor, toString and __proto__", () => {
  for (const name of ["constructor", "toString", "__proto__"]) {
    for (const stored of [
      name,
      `model.layers.0.${name}.weight`,
      `model.layers.0.mlp.up_proj.${name}`,
      `model.layers.0.mlp.experts.0.${name}.weight`,
      `model.layers.0.${name}.norm.weight`,
    ]) {
      expect(mapName(stored)).toBeUndefined();
    }
  }
});
