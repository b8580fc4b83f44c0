// A plugin that ends the engine, for the tests of faults: a sampler that throws what is no refusal.
import { Type } from "@sinclair/typebox";
import { definePlugin, type Sampler } from "../../core/index.ts";

const options = Type.Object({
  crash_at: Type.Integer({
    default: -1,
    minimum: -1,
    maximum: 100000,
    description: "Tokens drawn before the engine ends; -1: it does not.",
  }),
});

const crash: Sampler<typeof options> = {
  name: "crash",
  options,
  create({ crash_at: at }) {
    if (at < 0) return undefined;
    let drawn = 0;
    return {
      apply() {
        if (drawn++ === at) throw new Error("the test ends the engine");
      },
    };
  },
};

export default definePlugin({ name: "test-crash", samplers: [crash] });
