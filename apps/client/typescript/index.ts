// The TypeScript client's public face: `import { Client } from "wrinklefree/client"`.
export { Client, type ClientOptions } from "./client.ts";
export { ClientError, type ErrorKind } from "./errors.ts";
export type { AnswerStream } from "./stream.ts";
export type {
  Answer,
  CallOptions,
  Health,
  Message,
  ModelEntry,
  Prompt,
  SamplingOptions,
  TokenizeOptions,
  ToolCall,
  Usage,
} from "./types.ts";
