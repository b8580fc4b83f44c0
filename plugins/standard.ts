// The set of plugins that the apps use.
import type { Plugin } from "../core/index.ts";
import formats from "./formats/index.ts";
import gguf from "./gguf/index.ts";
import kernelsCpu from "./kernels-cpu/index.ts";
import models from "./models/index.ts";
import pytorch from "./pytorch/index.ts";
import routers from "./routers/index.ts";
import safetensors from "./safetensors/index.ts";
import samplers from "./samplers/index.ts";

export type { TensorPlan } from "./gguf/encode.ts";
export type { OwnFormat } from "./gguf/loader.ts";
/** What convert writes files with. */
export { ownFormatsKey } from "./gguf/loader.ts";
export { GgufWriter, writeAll, writeFailure } from "./gguf/writer.ts";
export { llama3Factor } from "./models/rope.ts";

export const standard: readonly Plugin[] = [
  gguf,
  safetensors,
  pytorch,
  formats,
  kernelsCpu,
  models,
  samplers,
  routers,
];
