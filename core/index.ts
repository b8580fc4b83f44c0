// The public face of the core: all that a plugin or an app imports.

export { openCheckpoint, type StoredTensor } from "./checkpoint/checkpoint.ts";
export { readJson } from "./checkpoint/files.ts";
export * from "./discover.ts";
export { type StartEngineOptions, startEngine } from "./engine/client.ts";
export { Engine, type EngineOptions } from "./engine/engine.ts";
export type * from "./engine/protocol.ts";
export { createRuntime, openRuntime, type Runtime, type RuntimeOptions } from "./engine/runtime.ts";
export * from "./errors.ts";
export {
  type Constraint,
  ConstraintFactory,
  checkConstraint,
} from "./grammar/constraint.ts";
export { installed } from "./installation.ts";
export * from "./mapped-file.ts";
export { Model, type ModelTensor, modelOfFile, type OpenModelOptions, openModel } from "./model.ts";
export { addressOf } from "./native/memory.ts";
export { nearest } from "./nearest.ts";
export type * from "./plugin/architecture.ts";
export type * from "./plugin/kernel.ts";
export type * from "./plugin/loader.ts";
export * from "./plugin/plugin.ts";
export type * from "./plugin/quantizer.ts";
export type * from "./plugin/router.ts";
export type * from "./plugin/sampler.ts";
export { Registry } from "./registry.ts";
export * from "./sampling/candidates.ts";
export * from "./sampling/chain.ts";
export * from "./sampling/math.ts";
export { defaultSamplingOptions, samplingSchema } from "./sampling/options.ts";
export { Random } from "./sampling/random.ts";
export { type Ternary, ternarize } from "./ternary.ts";
export { TextStream, type TextStreamOptions } from "./text/stream.ts";
export {
  ChatTemplate,
  type ChatTemplateOptions,
  type RenderOptions,
} from "./text/template.ts";
export { createTokenizer } from "./text/tokenizer.ts";
export { type CallTags, ToolCallParser, type ToolEvent } from "./text/tool-parser.ts";
export {
  messagesWithoutTools,
  planTools,
  type ToolChoice,
  type ToolPlan,
  type ToolRequest,
} from "./text/tools.ts";
export type * from "./text/types.ts";
