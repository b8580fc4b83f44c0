// The built-in samplers: llama.cpp's names, options, defaults and mathematics.
import { definePlugin } from "../../core/index.ts";
import { minP } from "./min-p.ts";
import { penalties } from "./penalties.ts";
import { temperature } from "./temperature.ts";
import { topK } from "./top-k.ts";
import { topP } from "./top-p.ts";

export default definePlugin({
  name: "samplers",
  samplers: [penalties, topK, topP, minP, temperature],
});
