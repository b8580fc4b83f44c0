// OpenAI's /v1/chat/completions.
import { Type } from "@sinclair/typebox";
import { type ChatBody, chatFields, renderChat } from "../chat.ts";
import {
  type Completion,
  choices,
  finishReason,
  type GeneratedToken,
  type Generation,
} from "../completion.ts";
import { badField } from "../errors.ts";
import { completeAll, generateAll } from "../generation.ts";
import type { ServedModel } from "../model.ts";
import { encodeRendered } from "../prompts.ts";
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

const ownFields = {
  ...chatFields,
  n: optional(Type.Integer({ minimum: 1, maximum: 128, description: "Answers." })),
  logprobs: optional(Type.Boolean({ description: "Report the tokens' log-probabilities." })),
  top_logprobs: optional(Type.Integer({ description: "Alternatives with each token, 0 to 20." })),
  stream_options: streamOptions,
};

type Body = GenerationBody &
  ChatBody & {
    n?: number;
    logprobs?: boolean;
    top_logprobs?: number;
    stream_options?: { include_usage?: boolean | null; continuous_usage_stats?: boolean | null };
  };

interface Work {
  readonly call: Call<Body>;
  readonly model: ServedModel;
  readonly generations: readonly Generation[];
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
      const model = findModel(server, body.model);
      const prompt = encodeRendered(model.tokenizer, renderChat(model, body as ChatBody));
      return Response.json({ object: "response.input_tokens", input_tokens: prompt.length });
    },
  }),
];

async function chat(call: Call<Body>): Promise<Response> {
  const { body } = call;
  const model = findModel(call.server, body.model);
  const generation: Generation = {
    ...readGeneration(call.server, body, model),
    prompt: encodeRendered(model.tokenizer, renderChat(model, body)),
    logprobs: readLogprobs(body),
  };
  const work: Work = {
    call,
    model,
    generations: choices(generation, body.n ?? 1),
    id: `chatcmpl-${call.id}`,
    created: Math.floor(Date.now() / 1000),
  };
  if (body.stream) return call.stream(streamChat(work));
  const completions = await completeAll(model, work.generations, call.abort.signal);
  call.note(logFields(completions, completions.length));
  return Response.json(whole(work, completions));
}

function readLogprobs(body: Body): number | undefined {
  const count = readLogprobCount("top_logprobs", body.top_logprobs, 20);
  if (body.logprobs) return count;
  if (count > 0) throw badField("top_logprobs", "Field 'top_logprobs' needs 'logprobs': true.");
  return undefined;
}

function whole(work: Work, completions: readonly Completion[]): object {
  return {
    ...envelope(work, "chat.completion"),
    choices: completions.map((completion, index) => ({
      index,
      message: { role: "assistant", content: completion.text, refusal: null },
      logprobs: logprobs(work, completion.textTokens),
      finish_reason: finishReason(completion),
    })),
    usage: usageOf(completions, completions.length),
    ...(completions.length === 1 &&
      completions[0] && { timings: timingsOf(completions[0].timings) }),
  };
}

function envelope(work: Work, object: string): object {
  return {
    id: work.id,
    object,
    created: work.created,
    model: work.model.id,
    system_fingerprint: fingerprint,
  };
}

function logprobs(work: Work, tokens: readonly GeneratedToken[]): object | null {
  if (!work.call.body.logprobs) return null;
  const { tokenizer } = work.model;
  const content = tokens.flatMap(({ score }) => (score ? [chatLogprob(tokenizer, score)] : []));
  return { content, refusal: null };
}

async function* streamChat(work: Work): AsyncGenerator<string, void, undefined> {
  const { call, model, generations } = work;
  const options = call.body.stream_options;
  const completions: Completion[] = [];
  const generated = new Usage(generations[0]?.prompt.length ?? 0);
  const chunk = (index: number, delta: object, more: object = {}): string => {
    const usage = options?.continuous_usage_stats ? { usage: generated.sofar() } : {};
    const choice = { index, delta, logprobs: null, finish_reason: null, ...more };
    return sseData({ ...envelope(work, "chat.completion.chunk"), choices: [choice], ...usage });
  };
  const opened = new Set<number>();
  for await (const { index, event } of generateAll(model, generations, call.abort.signal)) {
    if (event.type === "prompt") continue;
    if (!opened.has(index)) {
      opened.add(index);
      yield chunk(index, { role: "assistant", content: null });
    }
    if (event.type === "text") {
      generated.add(index, event.timings.generatedTokens);
      const scores = logprobs(work, event.tokens);
      yield chunk(index, { content: event.text }, scores ? { logprobs: scores } : {});
    } else {
      completions[index] = event.completion;
      yield chunk(index, {}, { finish_reason: finishReason(event.completion) });
    }
  }
  call.note(logFields(completions, completions.length));
  if (options?.include_usage) {
    const usage = usageOf(completions, completions.length);
    const timings =
      completions.length === 1 && completions[0]
        ? { timings: timingsOf(completions[0].timings) }
        : {};
    yield sseData({ ...envelope(work, "chat.completion.chunk"), choices: [], usage, ...timings });
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
