// PyTorch checkpoints, and SGLang-BitNet's .bin files.
import { definePlugin, type Plugin } from "../../core/index.ts";
import { pytorchLoader } from "./loader.ts";
import { sglbitntLoader } from "./sglbitnt.ts";

const plugin: Plugin = definePlugin({
  name: "pytorch",
  loaders: [sglbitntLoader, pytorchLoader],
});

export default plugin;
