// Ollama's /api routes, so that its many front ends work: chat, generate, tags, show, ps, version.
import { type TProperties, Type } from "@sinclair/typebox";
import type { ChatMessage, Tool } from "../../../core/index.ts";
import { BodyCheck } from "../body.ts";
import { chatFields } from "../chat.ts";
import {
  answerChat,
  type ChatAnswer,
  type ChatJob,
  callArguments,
  chatJob,
  runChat,
} from "../chat-run.ts";
import type { Completion, Generation } from "../completion.ts";
import { HttpError } from "../errors.ts";
import { completeAll, generateAll } from "../generation.ts";
import type { ServedModel } from "../model.ts";
import { encodeRendered, readPrompts } from "../prompts.ts";
import { type Route, type RouteFactory, route } from "../route.ts";
import { bodySchema, type GenerationBody, normalizeSampling, readGeneration } from "../schema.ts";
import type { Call, ServerState } from "../state.ts";
import { jsonLines } from "../stream.ts";
import { logFields } from "../usage.ts";
import { describingRoutes, named } from "./ollama-models.ts";

const optional = Type.Optional;
const errorShape = "ollama";

const commonFields = {
  model: Type.String(),
  stream: optional(Type.Boolean({ description: "Default true." })),
  format: optional(
    Type.Union([Type.Literal(""), Type.Literal("json"), Type.Record(Type.String(), Type.Any())]),
  ),
  options: optional(Type.Record(Type.String(), Type.Any())),
  keep_alive: optional(Type.Any()),
  think: optional(Type.Any()),
} satisfies TProperties;

interface Common {
  model: string;
  stream?: boolean;
  format?: "" | "json" | object;
  options?: Record<string, unknown>;
}

type ChatBody = Common & { messages: ChatMessage[]; tools?: Tool[] };
type GenerateBody = Common & {
  prompt?: string;
  system?: string;
  raw?: boolean;
  suffix?: string;
};

/** Reads Ollama's options and format as a Generation. */
type ReadOptions = (
  server: ServerState,
  model: ServedModel,
  body: Common,
) => Omit<Generation, "prompt">;

export const ollamaRoutes: RouteFactory = (samplers): Route[] => {
  const check = new BodyCheck(bodySchema(samplers, {}));
  const read: ReadOptions = (server, model, { options = {}, format }) => {
    const { num_predict, ...rest } = options;
    // Ollama's negative numbers mean "no limit".
    const max_tokens = typeof num_predict === "number" ? Math.max(-1, num_predict) : num_predict;
    const checked = check.parse(normalizeSampling({ ...rest, max_tokens })) as GenerationBody;
    const own =
      format === "json"
        ? { response_format: { type: "json_object" } }
        : typeof format === "object"
          ? { json_schema: format }
          : {};
    return readGeneration(server, { ...checked, ...own } as GenerationBody, model);
  };
  return [...generating(read), ...describingRoutes];
};

function generating(read: ReadOptions): Route[] {
  return [
    route({
      method: "POST",
      paths: ["/api/chat"],
      tag: "Ollama",
      summary: "Answer a conversation",
      errorShape,
      body: Type.Object({
        ...commonFields,
        messages: Type.Array(chatFields.messages.items),
        tools: chatFields.tools,
      }),
      handle: (call) => chat(call as unknown as Call<ChatBody>, read),
    }),
    route({
      method: "POST",
      paths: ["/api/generate"],
      tag: "Ollama",
      summary: "Continue a prompt",
      errorShape,
      body: Type.Object({
        ...commonFields,
        prompt: optional(Type.String()),
        system: optional(Type.String()),
        raw: optional(Type.Boolean()),
        suffix: optional(Type.String()),
      }),
      handle: (call) => generate(call as unknown as Call<GenerateBody>, read),
    }),
  ];
}

const line = (value: object): string => `${JSON.stringify(value)}\n`;

async function chat(call: Call<ChatBody>, read: ReadOptions): Promise<Response> {
  const { body, server } = call;
  const model = named(server, body.model);
  // An empty conversation only loads the model.
  if (body.messages.length === 0) {
    const message = { role: "assistant", content: "" };
    return Response.json({ ...head(model), message, done: true, done_reason: "load" });
  }
  const generation = read(server, model, body);
  const job = chatJob(model, { messages: body.messages, tools: body.tools, generation });
  const started = performance.now();
  if (body.stream !== false) return call.stream(streamChat(call, job, started), jsonLines);
  const [answer] = await answerChat(job, call.abort.signal);
  if (!answer) throw new Error("a finished job has an answer");
  call.note(logFields([answer.completion]));
  const thinking = answer.reasoning === "" ? {} : { thinking: answer.reasoning };
  const message = { role: "assistant", content: answer.content, ...thinking, ...toolCalls(answer) };
  return Response.json({ ...head(model), message, ...tail(answer.completion, started) });
}

async function* streamChat(
  call: Call<ChatBody>,
  job: ChatJob,
  started: number,
): AsyncGenerator<string, void, undefined> {
  for await (const { event } of runChat(job, call.abort.signal)) {
    if (event.type === "text") {
      const message = { role: "assistant", content: event.text };
      yield line({ ...head(job.model), message, done: false });
    } else if (event.type === "reasoning") {
      const message = { role: "assistant", content: "", thinking: event.text };
      yield line({ ...head(job.model), message, done: false });
    } else if (event.type === "done") {
      const { answer } = event;
      call.note(logFields([answer.completion]));
      const message = { role: "assistant", content: "", ...toolCalls(answer) };
      if (answer.calls.length > 0) yield line({ ...head(job.model), message, done: false });
      const last = { role: "assistant", content: "" };
      yield line({ ...head(job.model), message: last, ...tail(answer.completion, started) });
    }
  }
}

/** Ollama's arguments are objects, not JSON text. */
function toolCalls({ calls }: ChatAnswer): object {
  if (calls.length === 0) return {};
  const list = calls.map((call) => ({
    function: { name: call.function.name, arguments: callArguments(call) },
  }));
  return { tool_calls: list };
}

async function generate(call: Call<GenerateBody>, read: ReadOptions): Promise<Response> {
  const { body, server } = call;
  const model = named(server, body.model);
  if (body.suffix) throw new HttpError("invalid_request_error", `${body.model} has no insert mode`);
  if (!body.prompt) {
    return Response.json({ ...head(model), response: "", done: true, done_reason: "load" });
  }
  const generation = { ...read(server, model, body), prompt: await generatePrompt(model, body) };
  const started = performance.now();
  const run = [generation];
  if (body.stream !== false) return call.stream(streamGenerate(call, model, run), jsonLines);
  const [completion] = await completeAll(model, run, call.abort.signal);
  if (!completion) throw new Error("a finished generation has a completion");
  call.note(logFields([completion]));
  const response = completion.text;
  return Response.json({ ...head(model), response, ...tail(completion, started) });
}

/** Without `raw` the prompt is a message that the model's template frames. */
async function generatePrompt(model: ServedModel, body: GenerateBody): Promise<readonly number[]> {
  const { prompt = "", system, raw } = body;
  if (raw) return (await readPrompts(model, prompt)).prompts[0] ?? [];
  const first = system ? [{ role: "system", content: system }] : [];
  const messages = [...first, { role: "user", content: prompt }];
  return encodeRendered(model, model.template.render(messages));
}

async function* streamGenerate(
  call: Call<GenerateBody>,
  model: ServedModel,
  run: readonly Generation[],
): AsyncGenerator<string, void, undefined> {
  const started = performance.now();
  for await (const { event } of generateAll(model, run, call.abort.signal)) {
    if (event.type === "text") {
      yield line({ ...head(model), response: event.text, done: false });
    } else if (event.type === "done") {
      call.note(logFields([event.completion]));
      yield line({ ...head(model), response: "", ...tail(event.completion, started) });
    }
  }
}

function head(model: ServedModel): object {
  return { model: model.id, created_at: new Date().toISOString() };
}

/** Ollama's counters; durations are nanoseconds. */
function tail(completion: Completion, started: number): object {
  const { timings } = completion;
  const ns = (ms: number): number => Math.round(ms * 1e6);
  return {
    done: true,
    done_reason: completion.stopType === "limit" ? "length" : "stop",
    total_duration: ns(performance.now() - started),
    load_duration: 0,
    prompt_eval_count: completion.promptTokens,
    prompt_eval_duration: ns(timings.promptMs),
    eval_count: timings.generatedTokens,
    eval_duration: ns(timings.generatedMs),
  };
}
