// Anthropic's /v1/messages, whole and streamed, and /v1/messages/count_tokens.
import { type Static, Type } from "@sinclair/typebox";
import type { ChatMessage, Tool, ToolCall, ToolChoice } from "../../../core/index.ts";
import {
  answerChat,
  type ChatAnswer,
  type ChatJob,
  callArguments,
  chatJob,
  runChat,
} from "../chat-run.ts";
import { badField } from "../errors.ts";
import { type Route, type RouteFactory, route } from "../route.ts";
import { bodySchema, type GenerationBody, readGeneration } from "../schema.ts";
import { type Call, findModel } from "../state.ts";
import { sseEvent } from "../stream.ts";
import { logFields } from "../usage.ts";

const optional = Type.Optional;

const block = Type.Object({
  type: Type.String(),
  text: optional(Type.String()),
  id: optional(Type.String()),
  name: optional(Type.String()),
  input: optional(Type.Any()),
  tool_use_id: optional(Type.String()),
  content: optional(Type.Any()),
});

const textOrBlocks = Type.Union([Type.String(), Type.Array(block)]);

const conversationFields = {
  messages: Type.Array(
    Type.Object({
      role: Type.Union([Type.Literal("user"), Type.Literal("assistant"), Type.Literal("system")]),
      content: textOrBlocks,
    }),
    { minItems: 1 },
  ),
  system: optional(textOrBlocks),
  tools: optional(
    Type.Array(
      Type.Object({
        name: Type.String({ minLength: 1, maxLength: 128 }),
        description: optional(Type.String()),
        input_schema: optional(Type.Record(Type.String(), Type.Any())),
      }),
    ),
  ),
  tool_choice: optional(
    Type.Object({
      type: Type.Union(["auto", "any", "tool", "none"].map((name) => Type.Literal(name))),
      name: optional(Type.String()),
      disable_parallel_tool_use: optional(Type.Boolean()),
    }),
  ),
};

const ownFields = {
  ...conversationFields,
  max_tokens: optional(Type.Integer({ minimum: 1, description: "Default 4096." })),
  stop_sequences: optional(Type.Array(Type.String())),
  metadata: optional(Type.Any()),
  thinking: optional(Type.Any()),
};

type Block = Static<typeof block>;

interface Conversation {
  messages: { role: string; content: string | Block[] }[];
  system?: string | Block[];
  tools?: { name: string; description?: string; input_schema?: Record<string, unknown> }[];
  tool_choice?: { type: string; name?: string; disable_parallel_tool_use?: boolean };
}

type Body = GenerationBody & Conversation & { stop_sequences?: string[] };

export const anthropicRoutes: RouteFactory = (samplers): Route[] => [
  route({
    method: "POST",
    paths: ["/v1/messages"],
    tag: "Anthropic",
    summary: "Answer a conversation",
    errorShape: "anthropic",
    body: bodySchema(samplers, ownFields),
    handle: (call) => respond(call as unknown as Call<Body>),
  }),
  route({
    method: "POST",
    paths: ["/v1/messages/count_tokens"],
    tag: "Anthropic",
    summary: "Count a conversation's tokens",
    errorShape: "anthropic",
    body: Type.Object({ model: optional(Type.String()), ...conversationFields }),
    handle({ server, body }) {
      const model = findModel(server, body.model);
      const job = chatJob(model, { ...readConversation(body as Conversation), generation: none });
      return Response.json({ input_tokens: job.generations[0]?.prompt.length ?? 0 });
    },
  }),
];

const none = { sampling: {} };

/** Anthropic's own limit of clients that give none. */
const defaultMaxTokens = 4096;

async function respond(call: Call<Body>): Promise<Response> {
  const { body, server } = call;
  const model = findModel(server, body.model);
  const generation = readGeneration(
    server,
    {
      ...body,
      max_tokens: body.max_tokens ?? defaultMaxTokens,
      stop: body.stop_sequences ?? body.stop,
    },
    model,
  );
  const job = chatJob(model, { ...readConversation(body), generation });
  const id = `msg_${call.id}`;
  if (body.stream) return call.stream(streamMessage(call, job, id));
  const [answer] = await answerChat(job, call.abort.signal);
  if (!answer) throw new Error("a finished job has an answer");
  call.note(logFields([answer.completion]));
  return Response.json(message(job, id, answer));
}

function message(job: ChatJob, id: string, answer: ChatAnswer): object {
  const { content: own, reasoning: thinking } = answer;
  const thought = thinking === "" ? [] : [{ type: "thinking", thinking, signature: "" }];
  const text = own === "" ? [] : [{ type: "text", text: own }];
  const calls = answer.calls.map((call) => ({
    type: "tool_use",
    id: call.id,
    name: call.function.name,
    input: callArguments(call),
  }));
  return {
    id,
    type: "message",
    role: "assistant",
    model: job.model.id,
    content: [...thought, ...text, ...calls],
    ...stop(answer),
    usage: usage(answer),
  };
}

function stop({ completion, finish }: ChatAnswer): object {
  if (finish === "tool_calls") return { stop_reason: "tool_use", stop_sequence: null };
  if (completion.stopType === "word") {
    return { stop_reason: "stop_sequence", stop_sequence: completion.stoppingWord };
  }
  const reason = completion.stopType === "limit" ? "max_tokens" : "end_turn";
  return { stop_reason: reason, stop_sequence: null };
}

function usage({ completion }: ChatAnswer): object {
  const cached = completion.timings.cachedTokens;
  return {
    input_tokens: completion.promptTokens - cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    output_tokens: completion.timings.generatedTokens,
  };
}

async function* streamMessage(
  call: Call<Body>,
  job: ChatJob,
  id: string,
): AsyncGenerator<string, void, undefined> {
  const blocks = new Blocks();
  for await (const { event } of runChat(job, call.abort.signal)) {
    if (event.type === "start") {
      const prompt = job.generations[0]?.prompt.length ?? 0;
      yield sseEvent("message_start", { type: "message_start", message: empty(job, id, prompt) });
    } else if (event.type === "text") {
      yield* blocks.open("text", { type: "text", text: "" });
      yield blocks.delta({ type: "text_delta", text: event.text });
    } else if (event.type === "reasoning") {
      yield* blocks.open("thinking", { type: "thinking", thinking: "", signature: "" });
      yield blocks.delta({ type: "thinking_delta", thinking: event.text });
    } else if (event.type === "call") {
      const own = { type: "tool_use", id: event.id, name: event.name, input: {} };
      yield* blocks.open(`call ${event.call}`, own);
    } else if (event.type === "arguments") {
      yield blocks.delta({ type: "input_json_delta", partial_json: event.text });
    } else if (event.type === "done") {
      yield* blocks.close();
      call.note(logFields([event.answer.completion]));
      const delta = stop(event.answer);
      const counts = usage(event.answer);
      yield sseEvent("message_delta", { type: "message_delta", delta, usage: counts });
      yield sseEvent("message_stop", { type: "message_stop" });
    }
  }
}

function empty(job: ChatJob, id: string, prompt: number): object {
  return {
    id,
    type: "message",
    role: "assistant",
    model: job.model.id,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: prompt, output_tokens: 0 },
  };
}

/** The content blocks of a stream: one open at a time, counted from 0. */
class Blocks {
  #index = -1;
  #open: string | undefined;

  *open(key: string, content_block: object): Generator<string, void, undefined> {
    if (this.#open === key) return;
    yield* this.close();
    this.#open = key;
    this.#index++;
    const event = { type: "content_block_start", index: this.#index, content_block };
    yield sseEvent("content_block_start", event);
  }

  delta(delta: object): string {
    const event = { type: "content_block_delta", index: this.#index, delta };
    return sseEvent("content_block_delta", event);
  }

  *close(): Generator<string, void, undefined> {
    if (this.#open === undefined) return;
    this.#open = undefined;
    const event = { type: "content_block_stop", index: this.#index };
    yield sseEvent("content_block_stop", event);
  }
}

interface ReadConversation {
  messages: ChatMessage[];
  tools?: Tool[];
  toolChoice?: ToolChoice;
  parallel?: boolean;
}

/** Anthropic's conversation in OpenAI's terms. */
function readConversation(body: Conversation): ReadConversation {
  const system = body.system === undefined ? "" : joinText(body.system, "system");
  const first: ChatMessage[] = system === "" ? [] : [{ role: "system", content: system }];
  const tools = body.tools?.map(
    (tool): Tool => ({
      type: "function",
      function: {
        name: tool.name,
        description: tool.description,
        parameters: tool.input_schema,
      },
    }),
  );
  return {
    messages: [...first, ...body.messages.flatMap(readMessage)],
    tools,
    toolChoice: readChoice(body.tool_choice),
    parallel: body.tool_choice?.disable_parallel_tool_use !== true,
  };
}

function readChoice(choice: Conversation["tool_choice"]): ToolChoice | undefined {
  if (!choice) return undefined;
  switch (choice.type) {
    case "any":
      return "required";
    case "tool":
      if (choice.name !== undefined) return { name: choice.name };
      throw badField("tool_choice.name", "Field 'tool_choice.name' is required: a string.");
    default:
      return choice.type as "auto" | "none";
  }
}

function readMessage(message: Conversation["messages"][number], index: number): ChatMessage[] {
  const { role, content } = message;
  const param = `messages[${index}].content`;
  if (typeof content === "string") return [{ role, content }];
  const results = content.filter((part) => part.type === "tool_result");
  const uses = content.filter((part) => part.type === "tool_use");
  const rest = content.filter((part) => !/^(tool_|thinking|redacted_)/.test(part.type));
  const text = joinText(rest, param);
  const messages: ChatMessage[] = results.map((part) => ({
    role: "tool",
    tool_call_id: part.tool_use_id,
    content: typeof part.content === "string" ? part.content : joinText(part.content ?? [], param),
  }));
  if (text === "" && uses.length === 0 && results.length > 0) return messages;
  const calls = uses.map(toolCall);
  return [...messages, { role, content: text, ...(calls.length > 0 && { tool_calls: calls }) }];
}

function toolCall(part: Block): ToolCall {
  return {
    id: part.id,
    type: "function",
    function: { name: part.name ?? "", arguments: JSON.stringify(part.input ?? {}) },
  };
}

function joinText(content: string | readonly Block[], param: string): string {
  if (typeof content === "string") return content;
  const texts = content.map((part, i) => {
    if (part.type === "text" && part.text !== undefined) return part.text;
    throw badField(`${param}[${i}]`, `This model reads text only, not '${part.type}'.`);
  });
  return texts.join("\n");
}
