// llama.cpp's own generation route: /completion.
import { Type } from "@sinclair/typebox";
import { defaultSamplingOptions } from "../../../core/index.ts";
import {
  type Completion,
  choices,
  type GeneratedToken,
  type Generation,
  type GenerationEvent,
} from "../completion.ts";
import { completeAll, generateAll } from "../generation.ts";
import type { ServedModel } from "../model.ts";
import { promptSchema, readPrompts } from "../prompts.ts";
import { type Route, type RouteFactory, route } from "../route.ts";
import {
  bodySchema,
  type GenerationBody,
  readGeneration,
  readLogprobCount,
  samplingOptions,
} from "../schema.ts";
import { type Call, checkSequences, findModel } from "../state.ts";
import { sseData } from "../stream.ts";
import { tokenProbabilities } from "../tokens.ts";
import { logFields, timingsOf } from "../usage.ts";

const optional = Type.Optional;

/** The fields of a completion besides its prompt. */
export const completionFields = {
  n: optional(Type.Integer({ minimum: 1, maximum: 128, description: "Answers to each prompt." })),
  n_cmpl: optional(Type.Integer({ minimum: 1, maximum: 128, description: "The same as n." })),
  n_probs: optional(Type.Integer({ description: "Alternatives to report with each token." })),
  post_sampling_probs: optional(
    Type.Boolean({ description: "Report probabilities after the sampling chain." }),
  ),
  return_tokens: optional(Type.Boolean({ description: "Return token ids too." })),
  return_progress: optional(Type.Boolean({ description: "Stream the prompt's progress." })),
  timings_per_token: optional(Type.Boolean({ description: "Stream timings with each token." })),
  response_fields: optional(
    Type.Array(Type.String(), { description: "Fields to return, nested ones with '/'." }),
  ),
  id_slot: optional(
    Type.Integer({ minimum: -1, description: "Number of the slot to use, when it is free." }),
  ),
  n_keep: optional(Type.Integer({ minimum: -1, description: "Accepted; nothing is discarded." })),
};

export type CompletionBody = GenerationBody & {
  n?: number;
  n_cmpl?: number;
  id_slot?: number;
  n_probs?: number;
  post_sampling_probs?: boolean;
  return_tokens?: boolean;
  return_progress?: boolean;
  timings_per_token?: boolean;
  response_fields?: string[];
};

/** The request as the answers repeat it. */
interface Work {
  readonly call: Call<CompletionBody>;
  readonly model: ServedModel;
  readonly generations: readonly Generation[];
  readonly list: boolean;
}

export const llamaRoutes: RouteFactory = (samplers): Route[] => [
  route({
    method: "POST",
    paths: ["/completion", "/completions"],
    tag: "llama.cpp",
    summary: "Continue a prompt",
    body: bodySchema(samplers, { prompt: promptSchema, ...completionFields }),
    async handle(call) {
      const { body, server } = call as Call<CompletionBody & { prompt: unknown }>;
      const model = findModel(server, body.model);
      return complete(call as Call<CompletionBody>, model, await readPrompts(model, body.prompt));
    },
  }),
];

/** Continues prompts; answers as llama.cpp does. */
export async function complete(
  call: Call<CompletionBody>,
  model: ServedModel,
  { prompts, list }: { prompts: readonly (readonly number[])[]; list: boolean },
): Promise<Response> {
  const { body } = call;
  const shared = readGeneration(call.server, body, model);
  const probs = readLogprobCount("n_probs", body.n_probs, call.server.settings.limits.logprobs);
  const n = body.n_cmpl ?? body.n ?? 1;
  checkSequences(call.server, prompts.length, n);
  const generations = prompts.flatMap((prompt) =>
    choices(
      {
        ...shared,
        prompt,
        slot: body.id_slot,
        logprobs: probs > 0 ? probs : undefined,
        postSamplingProbabilities: body.post_sampling_probs,
      },
      n,
    ),
  );
  const work: Work = { call, model, generations, list: list || n > 1 };
  if (body.stream) return call.stream(streamCompletion(work));
  const completions = await completeAll(model, generations, call.abort.signal);
  call.note(logFields(completions, n));
  const results = completions.map((completion, i) =>
    pick(result(work, completion, i, completion.text), body.response_fields),
  );
  return Response.json(work.list ? results : results[0]);
}

async function* streamCompletion(work: Work): AsyncGenerator<string, void, undefined> {
  const { call, model, generations } = work;
  const counts = generations.map(() => 0);
  const completions: Completion[] = [];
  for await (const { index, event } of generateAll(model, generations, call.abort.signal)) {
    if (event.type === "prompt") {
      if (call.body.return_progress) yield sseData(progress(work, index, event));
    } else if (event.type === "text") {
      counts[index] = (counts[index] ?? 0) + event.tokens.length;
      yield sseData(delta(work, index, event, counts[index]));
    } else {
      completions[index] = event.completion;
      yield sseData({ ...result(work, event.completion, index, ""), tokens: [] });
    }
  }
  call.note(logFields(completions));
}

function progress(
  work: Work,
  index: number,
  event: Extract<GenerationEvent, { type: "prompt" }>,
): object {
  return {
    index,
    content: "",
    tokens: [],
    stop: false,
    id_slot: index,
    tokens_predicted: 0,
    tokens_evaluated: event.total,
    prompt_progress: { total: event.total, cache: event.cached, processed: event.processed },
    model: work.model.id,
  };
}

function delta(
  work: Work,
  index: number,
  event: Extract<GenerationEvent, { type: "text" }>,
  predicted: number,
): object {
  const { call, generations } = work;
  return {
    index,
    content: event.text,
    tokens: event.tokens.map((token) => token.token),
    stop: false,
    id_slot: event.slot,
    tokens_predicted: predicted,
    tokens_evaluated: generations[index]?.prompt.length,
    ...(call.body.timings_per_token && { timings: timingsOf(event.timings) }),
    ...probabilities(work, event.tokens),
  };
}

function probabilities(work: Work, tokens: readonly GeneratedToken[]): object {
  const post = work.call.body.post_sampling_probs === true;
  const scored = tokens.flatMap((token) => (token.score ? [token.score] : []));
  if (!work.call.body.n_probs) return {};
  const { tokenizer } = work.model;
  const list = scored.map((score) => tokenProbabilities(tokenizer, score, post));
  return { completion_probabilities: list };
}

function result(work: Work, completion: Completion, index: number, content: string): object {
  const { call, model, generations } = work;
  const generation = generations[index];
  const prompt = generation?.prompt ?? [];
  return {
    index,
    content,
    tokens: call.body.return_tokens ? completion.tokens.map((token) => token.token) : [],
    id_slot: completion.slot,
    stop: true,
    model: model.id,
    tokens_predicted: completion.timings.generatedTokens,
    tokens_evaluated: prompt.length,
    generation_settings: generationSettings(work, generation),
    prompt: model.tokenizer.decode(prompt, { special: true }),
    has_new_line: completion.text.includes("\n"),
    truncated: completion.truncated,
    stop_type: completion.stopType,
    stopping_word: completion.stoppingWord,
    tokens_cached: prompt.length + Math.max(0, completion.timings.generatedTokens - 1),
    timings: timingsOf(completion.timings),
    ...(call.body.stream ? {} : probabilities(work, completion.tokens)),
  };
}

/** The settings that were used, every sampler's with its default. */
function generationSettings(work: Work, generation: Generation | undefined): object {
  return {
    ...defaultSamplingOptions(work.call.server.samplers),
    ...samplingOptions(work.call.server, work.call.body),
    seed: generation?.seed ?? 4294967295,
    n_predict: generation?.maxTokens ?? -1,
    max_tokens: generation?.maxTokens ?? -1,
    stop: generation?.stop ?? [],
    ignore_eos: generation?.ignoreEndTokens ?? false,
    stream: work.call.body.stream === true,
    n_probs: work.call.body.n_probs ?? 0,
    post_sampling_probs: work.call.body.post_sampling_probs === true,
    timings_per_token: work.call.body.timings_per_token === true,
  };
}

/** Only the named fields, nested ones ("a/b") under their whole path, as llama.cpp does. */
function pick(value: object, names: readonly string[] | undefined): object {
  if (!names || names.length === 0) return value;
  const picked: Record<string, unknown> = {};
  for (const name of names) {
    let found: unknown = value;
    for (const part of name.split("/")) {
      const own = Object.hasOwn(Object(found), part);
      found = own ? (found as Record<string, unknown>)[part] : undefined;
    }
    if (found !== undefined) picked[name] = found;
  }
  return picked;
}
