// The model families that are built in.
import { definePlugin, type Plugin } from "../../core/index.ts";
import { bitnet, bitnet158 } from "./bitnet.ts";
import { llama } from "./llama.ts";
import { minicpm } from "./minicpm.ts";
import { qwen2, qwen2Moe, qwen3, qwen3Moe } from "./qwen.ts";

const plugin: Plugin = definePlugin({
  name: "models",
  architectures: [bitnet158, bitnet, llama, qwen2, qwen2Moe, qwen3, qwen3Moe, minicpm],
});

export default plugin;
