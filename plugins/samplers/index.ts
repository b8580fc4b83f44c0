// The built-in samplers: llama.cpp's names, options, defaults and mathematics.
import { definePlugin, type Plugin } from "../../core/index.ts";
import { adaptiveP } from "./adaptive-p.ts";
import { dry } from "./dry.ts";
import { infill } from "./infill.ts";
import { logitBias } from "./logit-bias.ts";
import { minP } from "./min-p.ts";
import { mirostat } from "./mirostat.ts";
import { penalties } from "./penalties.ts";
import { temperature } from "./temperature.ts";
import { topK } from "./top-k.ts";
import { topNSigma } from "./top-n-sigma.ts";
import { topP } from "./top-p.ts";
import { typicalP } from "./typical-p.ts";
import { xtc } from "./xtc.ts";

const plugin: Plugin = definePlugin({
  name: "samplers",
  samplers: [
    logitBias,
    penalties,
    dry,
    topNSigma,
    topK,
    typicalP,
    topP,
    minP,
    xtc,
    temperature,
    infill,
    mirostat,
    adaptiveP,
  ],
});

export default plugin;
