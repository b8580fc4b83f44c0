// A plugin: a named set of loaders, quantizers, kernels, routers, samplers and architectures.
import type { Architecture } from "./architecture.ts";
import type { Kernel } from "./kernel.ts";
import type { Loader } from "./loader.ts";
import type { Quantizer } from "./quantizer.ts";
import type { Router } from "./router.ts";
import type { Sampler } from "./sampler.ts";

/** The interface version that `definePlugin` stamps. */
export const pluginApi = 1;

export interface PluginParts {
  /** Unique; by convention the npm package's name. */
  readonly name: string;
  readonly loaders?: readonly Loader[];
  readonly quantizers?: readonly Quantizer[];
  readonly kernels?: readonly Kernel[];
  readonly routers?: readonly Router[];
  readonly samplers?: readonly Sampler[];
  readonly architectures?: readonly Architecture[];
}

export interface Plugin extends PluginParts {
  readonly api: typeof pluginApi;
}

/** Declares a plugin. A plugin module's default export is what this returns. */
export function definePlugin(parts: PluginParts): Plugin {
  return { ...parts, api: pluginApi };
}
