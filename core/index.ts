// The public face of the core: all that a plugin or an app imports.
export * from "./errors.ts";
export type * from "./engine/protocol.ts";
export type * from "./plugin/architecture.ts";
export type * from "./plugin/kernel.ts";
export type * from "./plugin/loader.ts";
export * from "./plugin/plugin.ts";
export type * from "./plugin/quantizer.ts";
export type * from "./plugin/router.ts";
export type * from "./plugin/sampler.ts";
export type * from "./text/types.ts";
