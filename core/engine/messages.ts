// Messages between the engine's Worker and its client. Plain data, copied by postMessage.
import type { ErrorCode, ErrorDetails } from "../errors.ts";
import type { EngineOptions } from "./engine.ts";
import type { EngineEvent, GenerateRequest, ModelInfo } from "./protocol.ts";
import type { RuntimeOptions } from "./runtime.ts";

/** What the Worker is started with. */
export interface WorkerSettings {
  readonly runtime: Omit<RuntimeOptions, "progress">;
  readonly engine: Partial<EngineOptions>;
  /** Resolved module paths of plugins beside the standard set. */
  readonly plugins: readonly string[];
}

export type ToEngine =
  | { readonly type: "add"; readonly request: GenerateRequest }
  | { readonly type: "cancel"; readonly id: string }
  | { readonly type: "stats"; readonly call: number }
  | { readonly type: "clear"; readonly call: number }
  | {
      readonly type: "save";
      readonly call: number;
      readonly tokens: readonly number[];
      readonly path: string;
    }
  | { readonly type: "restore"; readonly call: number; readonly path: string }
  | { readonly type: "close" };

export type FromEngine =
  | { readonly type: "progress"; readonly loaded: number; readonly total: number }
  | { readonly type: "ready"; readonly info: ModelInfo }
  | { readonly type: "failed"; readonly error: PlainError }
  | { readonly type: "refused"; readonly id: string; readonly error: PlainError }
  | { readonly type: "events"; readonly events: readonly EngineEvent[] }
  | { readonly type: "result"; readonly call: number; readonly value: unknown }
  | { readonly type: "fault"; readonly call: number; readonly error: PlainError };

/** An error in a form that postMessage keeps. */
export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}
