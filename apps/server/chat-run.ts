// Runs a conversation for every chat dialect: messages in, text and tool calls out.
import type { ChatMessage, Tool, ToolCall } from "../../core/index.ts";
import { type ChatBody, renderChat } from "./chat.ts";
import { type Completion, choices, type GeneratedToken, type Generation } from "./completion.ts";
import { generateAll } from "./generation.ts";
import type { ServedModel } from "./model.ts";
import { encodeRendered } from "./prompts.ts";

export type ToolChoice = "auto" | "none" | "required" | { readonly name: string };

/** A conversation to answer, in terms that the chat dialects share. */
export interface ChatJob {
  readonly model: ServedModel;
  readonly generations: readonly Generation[];
}

export type ChatEvent =
  | { readonly type: "start" }
  | {
      readonly type: "text";
      readonly text: string;
      readonly tokens: readonly GeneratedToken[];
      readonly generated: number;
    }
  | { readonly type: "call"; readonly call: number; readonly id: string; readonly name: string }
  | { readonly type: "arguments"; readonly call: number; readonly text: string }
  | { readonly type: "done"; readonly answer: ChatAnswer };

/** One finished answer. */
export interface ChatAnswer {
  readonly completion: Completion;
  readonly content: string;
  readonly calls: readonly ToolCall[];
  readonly finish: "stop" | "length" | "tool_calls";
}

export interface ChatRequest {
  readonly messages: ChatMessage[];
  readonly tools?: Tool[];
  readonly toolChoice?: ToolChoice;
  readonly parallel?: boolean;
  readonly n?: number;
  readonly template?: Omit<ChatBody, "messages" | "tools">;
  readonly generation: Omit<Generation, "prompt">;
}

/** Renders and tokenizes a conversation. Throws 400 naming what does not fit. */
export function chatJob(model: ServedModel, request: ChatRequest): ChatJob {
  const { messages, generation, n = 1 } = request;
  const text = renderChat(model, { ...request.template, messages });
  const prompt = encodeRendered(model.tokenizer, text);
  return { model, generations: choices({ ...generation, prompt }, n) };
}

export interface IndexedChatEvent {
  readonly index: number;
  readonly event: ChatEvent;
}

/** Runs the job: for each choice a start, text and tool calls as they come, and its end. */
export async function* runChat(
  job: ChatJob,
  signal: AbortSignal,
): AsyncGenerator<IndexedChatEvent, void, undefined> {
  const started = new Set<number>();
  for await (const { index, event } of generateAll(job.model, job.generations, signal)) {
    if (!started.has(index)) {
      started.add(index);
      yield { index, event: { type: "start" } };
    }
    if (event.type === "text") {
      const { text, tokens, timings } = event;
      yield { index, event: { type: "text", text, tokens, generated: timings.generatedTokens } };
    } else if (event.type === "done") {
      const { completion } = event;
      const finish = completion.stopType === "limit" ? "length" : "stop";
      const answer = { completion, content: completion.text, calls: [], finish } as const;
      yield { index, event: { type: "done", answer } };
    }
  }
}

/** Runs the job to its end. */
export async function answerChat(job: ChatJob, signal: AbortSignal): Promise<ChatAnswer[]> {
  const answers: ChatAnswer[] = [];
  for await (const { index, event } of runChat(job, signal)) {
    if (event.type === "done") answers[index] = event.answer;
  }
  return answers;
}
