// The set of plugins that the apps use.
import type { Plugin } from "../core/index.ts";
import formats from "./formats/index.ts";
import gguf from "./gguf/index.ts";
import kernelsCpu from "./kernels-cpu/index.ts";
import models from "./models/index.ts";
import routers from "./routers/index.ts";
import safetensors from "./safetensors/index.ts";
import samplers from "./samplers/index.ts";

export const standard: readonly Plugin[] = [
  gguf,
  safetensors,
  formats,
  kernelsCpu,
  models,
  samplers,
  routers,
];
