// Writes a synthetic GGUF file and prints its path: bun bench/peers/synthetic.ts bitnet-2b-4t i2_s q6_k
import { syntheticPath } from "../../apps/bench/model-file.ts";
import { createRegistry } from "../../apps/plugins.ts";

const [shape = "bitnet-2b-4t", ternary = "i2_s", embedding = "q6_k"] = process.argv.slice(2);
const storage = {
  ternary: ternary === "tq2_0" ? "tq2_0" : "i2_s",
  embedding: embedding === "f16" ? "f16" : "q6_k",
} as const;
console.log(syntheticPath(shape, await createRegistry(), storage));
