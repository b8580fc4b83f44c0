// Runs a conversation for every chat dialect: messages in, text and tool calls out.
import { randomBytes } from "node:crypto";
import {
  type ChatMessage,
  messagesWithoutTools,
  planTools,
  type Timings,
  type Tool,
  type ToolCall,
  type ToolCallParser,
  type ToolChoice,
  type ToolEvent,
  type ToolPlan,
} from "../../core/index.ts";
import { type ChatBody, renderChat } from "./chat.ts";
import {
  type Completion,
  choices,
  type GeneratedToken,
  type Generation,
  type GenerationEvent,
} from "./completion.ts";
import { badField } from "./errors.ts";
import { generateAll } from "./generation.ts";
import type { ServedModel } from "./model.ts";
import { encodeRendered } from "./prompts.ts";
import { type Parted, ReasoningParser, thinks } from "./reasoning.ts";

/** A conversation to answer, in terms that the chat dialects share. */
export interface ChatJob {
  readonly model: ServedModel;
  readonly generations: readonly Generation[];
  /** Reads the calls of one answer; undefined: none is expected. */
  readonly parser?: () => ToolCallParser;
  /** Parts the thinking of one answer from it; undefined: the model does not think aloud. */
  readonly reasoning?: () => ReasoningParser;
}

export type ChatEvent =
  | { readonly type: "start" }
  | {
      readonly type: "progress";
      readonly processed: number;
      readonly total: number;
      readonly cached: number;
    }
  | {
      readonly type: "text";
      readonly text: string;
      readonly tokens: readonly GeneratedToken[];
      /** Of the whole answer so far. */
      readonly timings: Timings;
    }
  | {
      readonly type: "reasoning";
      readonly text: string;
      readonly tokens: readonly GeneratedToken[];
      readonly timings: Timings;
    }
  | { readonly type: "call"; readonly call: number; readonly id: string; readonly name: string }
  | { readonly type: "arguments"; readonly call: number; readonly text: string }
  | { readonly type: "done"; readonly answer: ChatAnswer };

/** One finished answer. */
export interface ChatAnswer {
  readonly completion: Completion;
  readonly content: string;
  /** What the model thought before; empty for most models. */
  readonly reasoning: string;
  readonly calls: readonly ToolCall[];
  readonly finish: "stop" | "length" | "tool_calls";
}

export interface ChatRequest {
  readonly messages: ChatMessage[];
  readonly tools?: Tool[];
  readonly toolChoice?: ToolChoice;
  readonly parallel?: boolean;
  readonly n?: number;
  /** Leave thinking where it is, in the text. */
  readonly keepReasoning?: boolean;
  readonly template?: Omit<ChatBody, "messages" | "tools">;
  readonly generation: Omit<Generation, "prompt">;
}

/** Renders and tokenizes a conversation. Throws 400 naming what does not fit. */
export function chatJob(model: ServedModel, request: ChatRequest): ChatJob {
  const { generation, n = 1 } = request;
  const { template } = model;
  const plan = toolPlan(model, request);
  const messages = template.supportsTools
    ? request.messages
    : messagesWithoutTools(request.messages, plan?.instructions);
  const tools = plan?.templateShowsTools ? request.tools : undefined;
  const text = renderChat(model, { ...request.template, messages, tools });
  const prompt = encodeRendered(model, text);
  const constraint = plan?.constraint ?? generation.constraint;
  const special = generation.special || (plan !== undefined && hidesCalls(model));
  return {
    model,
    generations: choices({ ...generation, constraint, special, prompt }, n),
    parser: plan?.parser,
    ...(!request.keepReasoning &&
      thinks(template.source) && { reasoning: () => new ReasoningParser(text) }),
  };
}

/** Whether the tag of a call is a control token, which text does not show unless asked to. */
function hidesCalls({ tokenizer }: ServedModel): boolean {
  const tag = tokenizer.id("<tool_call>");
  return tag !== undefined && tokenizer.isSpecial(tag);
}

function toolPlan(model: ServedModel, request: ChatRequest): ToolPlan | undefined {
  const { tools = [], toolChoice: choice, parallel, generation } = request;
  if (tools.length === 0 || choice === "none") return undefined;
  if (generation.constraint) {
    throw badField(
      "tools",
      "Tools cannot be called by an answer that a grammar or schema holds to something else; " +
        "set 'tool_choice' to 'none' or leave the grammar or schema out.",
    );
  }
  return planTools({ tools, choice, parallel, template: model.template.source });
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
  const answers = job.generations.map(() => new Answer(job.parser?.(), job.reasoning?.()));
  for await (const { index, event } of generateAll(job.model, job.generations, signal)) {
    const answer = answers[index] as Answer;
    for (const out of answer.take(event)) yield { index, event: out };
  }
}

/** One answer as it grows: its text parted into what is said and what is called. */
class Answer {
  readonly #parser: ToolCallParser | undefined;
  readonly #reasoning: ReasoningParser | undefined;
  readonly #calls: { id: string; name: string; text: string }[] = [];
  #started = false;
  #content = "";
  #thought = "";
  #tokens: GeneratedToken[] = [];
  #timings: Timings | undefined;

  constructor(parser: ToolCallParser | undefined, reasoning: ReasoningParser | undefined) {
    this.#parser = parser;
    this.#reasoning = reasoning;
  }

  *take(event: GenerationEvent): Generator<ChatEvent, void, undefined> {
    if (!this.#started) {
      this.#started = true;
      yield { type: "start" };
    }
    if (event.type === "prompt") {
      const { processed, total, cached } = event;
      yield { type: "progress", processed, total, cached };
    } else if (event.type === "text") {
      this.#tokens.push(...event.tokens);
      this.#timings = event.timings;
      const { text } = event;
      yield* this.#parted(this.#reasoning?.push(text) ?? { reasoning: "", text });
    } else if (event.type === "done") {
      this.#timings = event.completion.timings;
      if (this.#reasoning) yield* this.#parted(this.#reasoning.finish());
      yield* this.#events(this.#parser?.finish() ?? []);
      yield { type: "done", answer: this.#answer(event.completion) };
    }
  }

  *#parted({ reasoning, text }: Parted): Generator<ChatEvent, void, undefined> {
    if (reasoning !== "" && this.#timings) {
      this.#thought += reasoning;
      const tokens = this.#tokens;
      this.#tokens = [];
      yield { type: "reasoning", text: reasoning, tokens, timings: this.#timings };
    }
    if (text !== "") yield* this.#events(this.#parser?.push(text) ?? [{ type: "text", text }]);
  }

  *#events(events: readonly ToolEvent[]): Generator<ChatEvent, void, undefined> {
    for (const event of events) {
      if (event.type === "text") {
        this.#content += event.text;
        const tokens = this.#tokens;
        this.#tokens = [];
        if (this.#timings) yield { type: "text", text: event.text, tokens, timings: this.#timings };
      } else if (event.type === "call") {
        const id = `call_${randomBytes(12).toString("hex")}`;
        this.#calls[event.index] = { id, name: event.name, text: "" };
        yield { type: "call", call: event.index, id, name: event.name };
      } else {
        const call = this.#calls[event.index];
        if (call) call.text += event.text;
        yield { type: "arguments", call: event.index, text: event.text };
      }
    }
  }

  #answer(completion: Completion): ChatAnswer {
    const calls = this.#calls.map(
      ({ id, name, text }): ToolCall => ({
        id,
        type: "function",
        function: { name, arguments: text },
      }),
    );
    const cut = completion.stopType === "limit";
    const finish = cut ? "length" : calls.length > 0 ? "tool_calls" : "stop";
    return { completion, content: this.#content, reasoning: this.#thought, calls, finish };
  }
}

/** A call's arguments as a value; an answer that was cut within them has none. */
export function callArguments(call: ToolCall): unknown {
  try {
    return JSON.parse(call.function.arguments || "{}");
  } catch {
    return {};
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
