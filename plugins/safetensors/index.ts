// Hugging Face checkpoints in safetensors files.
import { definePlugin, type Plugin } from "../../core/index.ts";
import { safetensorsLoader } from "./loader.ts";

const plugin: Plugin = definePlugin({ name: "safetensors", loaders: [safetensorsLoader] });

export default plugin;
