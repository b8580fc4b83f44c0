// A stranger's plugin for the tests: a sampler with an option of its own, which forces one token.
import { Type } from "@sinclair/typebox";
import { definePlugin, type Sampler } from "../../core/index.ts";

const options = Type.Object({
  always_token: Type.Integer({
    default: -1,
    minimum: -1,
    maximum: 100000,
    description: "The only token that may be drawn; -1: any.",
  }),
});

const always: Sampler<typeof options> = {
  name: "always",
  options,
  create({ always_token: token }) {
    if (token < 0) return undefined;
    return {
      apply(candidates) {
        const at = candidates.ids.indexOf(token);
        candidates.ids[0] = candidates.ids[at] as number;
        candidates.logits[0] = candidates.logits[at] as number;
        candidates.length = 1;
      },
    };
  },
};

export default definePlugin({ name: "test-always", samplers: [always] });
