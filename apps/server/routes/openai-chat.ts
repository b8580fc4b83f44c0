// OpenAI's /v1/chat/completions.
import { Type } from "@sinclair/typebox";
import type { Tool, ToolChoice } from "../../../core/index.ts";
import { type ChatBody, chatFields } from "../chat.ts";
import { answerChat, type ChatAnswer, type ChatJob, chatJob, runChat } from "../chat-run.ts";
import type { GeneratedToken } from "../completion.ts";
import { badField } from "../errors.ts";
import { type Route, type RouteFactory, route } from "../route.ts";
import { bodySchema, type GenerationBody, readGeneration, readLogprobCount } from "../schema.ts";
import { type Call, findModel } from "../state.ts";
import { sseData, sseDone } from "../stream.ts";
import { chatLogprob } from "../tokens.ts";
import { logFields, timingsOf, usageOf } from "../usage.ts";
import { fingerprint } from "../version.ts";

const optional = Type.Optional;

export const streamOptions = optional(
  Type.Object({
    include_usage: optional(Type.Union([Type.Boolean(), Type.Null()])),
    continuous_usage_stats: optional(Type.Union([Type.Boolean(), Type.Null()])),
  }),
);

const toolChoice = Type.Union(
  [
    ...["auto", "none", "required"].map((name) => Type.Literal(name)),
    Type.Object({ type: Type.Literal("function"), function: Type.Object({ name: Type.String() }) }),
  ],
  { expected: "auto, none, required or a function" },
);

const ownFields = {
  ...chatFields,
  n: optional(Type.Integer({ minimum: 1, maximum: 128, description: "Answers." })),
  logprobs: optional(Type.Boolean({ description: "Report the tokens' log-probabilities." })),
  top_logprobs: optional(Type.Integer({ description: "Alternatives with each token, 0 to 20." })),
  tool_choice: optional(toolChoice),
  parallel_tool_calls: optional(Type.Boolean({ description: "Default true." })),
  reasoning_format: optional(
    Type.String({ description: "none: leave what the model thinks in its text." }),
  ),
  stream_options: streamOptions,
  timings_per_token: optional(Type.Boolean({ description: "Stream timings with each token." })),
  return_progress: optional(Type.Boolean({ description: "Stream the prompt's progress." })),
};

type Body = GenerationBody &
  ChatBody & {
    n?: number;
    logprobs?: boolean;
    top_logprobs?: number;
    tool_choice?: "auto" | "none" | "required" | { function: { name: string } };
    parallel_tool_calls?: boolean;
    reasoning_format?: string;
    timings_per_token?: boolean;
    return_progress?: boolean;
    stream_options?: { include_usage?: boolean | null; continuous_usage_stats?: boolean | null };
  };

interface Work {
  readonly call: Call<Body>;
  readonly job: ChatJob;
  readonly id: string;
  readonly created: number;
}

export const chatRoutes: RouteFactory = (samplers): Route[] => [
  route({
    method: "POST",
    paths: ["/v1/chat/completions", "/chat/completions"],
    tag: "OpenAI",
    summary: "Answer a conversation",
    body: bodySchema(samplers, ownFields),
    handle: (call) => chat(call as unknown as Call<Body>),
  }),
  route({
    method: "POST",
    paths: ["/v1/chat/completions/input_tokens"],
    tag: "OpenAI",
    summary: "Count a conversation's tokens",
    body: Type.Object({ model: optional(Type.String()), ...chatFields }),
    handle({ server, body }) {
      const { messages, tools, ...template } = body as ChatBody;
      const generation = { sampling: {} };
      const request = { messages, tools, template, generation };
      const job = chatJob(findModel(server, body.model), request);
      const input_tokens = job.generations[0]?.prompt.length ?? 0;
      return Response.json({ object: "response.input_tokens", input_tokens });
    },
  }),
];

async function chat(call: Call<Body>): Promise<Response> {
  const { body, server } = call;
  const model = findModel(server, body.model);
  const generation = { ...readGeneration(server, body, model), logprobs: readLogprobs(body) };
  const { messages, tools } = body;
  const toolChoice = readToolChoice(body.tool_choice, tools);
  const job = chatJob(model, {
    messages,
    tools,
    toolChoice,
    parallel: body.parallel_tool_calls,
    n: body.n,
    keepReasoning: body.reasoning_format === "none",
    template: {
      add_generation_prompt: body.add_generation_prompt,
      continue_final_message: body.continue_final_message,
      chat_template_kwargs: body.chat_template_kwargs,
    },
    generation,
  });
  const created = Math.floor(Date.now() / 1000);
  const work: Work = { call, job, id: `chatcmpl-${call.id}`, created };
  if (body.stream) return call.stream(streamChat(work));
  const answers = await answerChat(job, call.abort.signal);
  const completions = answers.map((answer) => answer.completion);
  call.note(logFields(completions, completions.length));
  return Response.json(whole(work, answers));
}

/** The choice in the terms of all dialects. Throws 400 for a function that is not there. */
function readToolChoice(choice: Body["tool_choice"], tools: Tool[] = []): ToolChoice | undefined {
  if (typeof choice !== "object") {
    if (choice === "required" && tools.length === 0) {
      throw badField("tool_choice", "Field 'tool_choice' is 'required', but there are no 'tools'.");
    }
    return choice;
  }
  const { name } = choice.function;
  if (tools.some((tool) => tool.function.name === name)) return { name };
  throw badField("tool_choice.function.name", `There is no tool '${name}'.`);
}

function readLogprobs(body: Body): number | undefined {
  const count = readLogprobCount("top_logprobs", body.top_logprobs, 20);
  if (body.logprobs) return count;
  if (count > 0) throw badField("top_logprobs", "Field 'top_logprobs' needs 'logprobs': true.");
  return undefined;
}

function whole(work: Work, answers: readonly ChatAnswer[]): object {
  const completions = answers.map((answer) => answer.completion);
  return {
    ...envelope(work, "chat.completion"),
    choices: answers.map(({ content, reasoning, calls, completion, finish }, index) => ({
      index,
      message: {
        role: "assistant",
        content: content === "" && calls.length > 0 ? null : content,
        ...(reasoning !== "" && { reasoning_content: reasoning }),
        refusal: null,
        ...(calls.length > 0 && { tool_calls: calls }),
      },
      logprobs: logprobs(work, completion.textTokens),
      finish_reason: finish,
    })),
    usage: usageOf(completions, completions.length),
    ...timings(answers),
  };
}

function timings([only, ...others]: readonly ChatAnswer[]): object {
  return only && others.length === 0 ? { timings: timingsOf(only.completion.timings) } : {};
}

function envelope(work: Work, object: string): object {
  return {
    id: work.id,
    object,
    created: work.created,
    model: work.job.model.id,
    system_fingerprint: fingerprint,
  };
}

function logprobs(work: Work, tokens: readonly GeneratedToken[]): object | null {
  if (!work.call.body.logprobs) return null;
  const { tokenizer } = work.job.model;
  const content = tokens.flatMap(({ score }) => (score ? [chatLogprob(tokenizer, score)] : []));
  return { content, refusal: null };
}

async function* streamChat(work: Work): AsyncGenerator<string, void, undefined> {
  const { call, job } = work;
  const options = call.body.stream_options;
  const answers: ChatAnswer[] = [];
  const generated = new Usage(job.generations[0]?.prompt.length ?? 0);
  const timed = call.body.timings_per_token === true;
  const chunk = (index: number, delta: object, more: object = {}, top: object = {}): string => {
    const usage = options?.continuous_usage_stats ? { usage: generated.sofar() } : {};
    const choice = { index, delta, logprobs: null, finish_reason: null, ...more };
    const whole = { ...envelope(work, "chat.completion.chunk"), choices: [choice] };
    return sseData({ ...whole, ...usage, ...top });
  };
  for await (const { index, event } of runChat(job, call.abort.signal)) {
    switch (event.type) {
      case "start":
        yield chunk(index, { role: "assistant", content: null });
        break;
      case "progress": {
        if (!call.body.return_progress) break;
        const { processed, total, cached } = event;
        yield chunk(index, {}, {}, { prompt_progress: { total, cache: cached, processed } });
        break;
      }
      case "text":
      case "reasoning": {
        generated.add(index, event.timings.generatedTokens);
        const scores = logprobs(work, event.tokens);
        const own = scores ? { logprobs: scores } : {};
        const timings = timed ? { timings: timingsOf(event.timings) } : {};
        const key = event.type === "text" ? "content" : "reasoning_content";
        yield chunk(index, { [key]: event.text }, own, timings);
        break;
      }
      case "call": {
        const { id, name } = event;
        const own = { index: event.call, id, type: "function", function: { name, arguments: "" } };
        yield chunk(index, { tool_calls: [own] });
        break;
      }
      case "arguments": {
        const own = { index: event.call, function: { arguments: event.text } };
        yield chunk(index, { tool_calls: [own] });
        break;
      }
      case "done":
        answers[index] = event.answer;
        yield chunk(index, {}, { finish_reason: event.answer.finish });
    }
  }
  const completions = answers.map((answer) => answer.completion);
  call.note(logFields(completions, completions.length));
  if (options?.include_usage) {
    const usage = usageOf(completions, completions.length);
    const last = { ...envelope(work, "chat.completion.chunk"), choices: [], usage };
    yield sseData({ ...last, ...timings(answers) });
  }
  yield sseDone;
}

/** Usage while it grows, for clients that ask for it in every chunk. */
class Usage {
  readonly #prompt: number;
  readonly #counts: number[] = [];

  constructor(prompt: number) {
    this.#prompt = prompt;
  }

  add(index: number, generated: number): void {
    this.#counts[index] = generated;
  }

  sofar(): object {
    const completion = this.#counts.reduce((sum, count) => sum + (count ?? 0), 0);
    return {
      prompt_tokens: this.#prompt,
      completion_tokens: completion,
      total_tokens: this.#prompt + completion,
    };
  }
}
