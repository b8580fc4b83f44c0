// The built-in routers of mixtures of experts.
import { definePlugin, type Plugin } from "../../core/index.ts";
import { identity } from "./identity.ts";
import { topK, topKSigmoid } from "./top-k.ts";

const plugin: Plugin = definePlugin({ name: "routers", routers: [topK, topKSigmoid, identity] });

export default plugin;
