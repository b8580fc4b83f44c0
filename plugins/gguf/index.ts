// GGUF files: loader, and the writer that convert uses.
import { definePlugin, type Plugin } from "../../core/index.ts";
import { ggufLoader } from "./loader.ts";

const plugin: Plugin = definePlugin({ name: "gguf", loaders: [ggufLoader] });

export default plugin;
