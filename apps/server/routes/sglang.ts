// SGLang's native generation: /generate and /abort_request.
import { type TProperties, Type } from "@sinclair/typebox";
import type { Sampler, ScoredToken } from "../../../core/index.ts";
import { BodyCheck } from "../body.ts";
import { type Completion, choices, type GeneratedToken, type Generation } from "../completion.ts";
import { badField } from "../errors.ts";
import { generateAll } from "../generation.ts";
import type { ServedModel } from "../model.ts";
import { readPrompts } from "../prompts.ts";
import { type Route, type RouteFactory, route } from "../route.ts";
import {
  bodySchema,
  type GenerationBody,
  normalizeSampling,
  readGeneration,
  readLogprobCount,
} from "../schema.ts";
import { type Call, checkSequences, findModel } from "../state.ts";
import { sseData, sseDone } from "../stream.ts";
import { finiteLogprob, pieceText } from "../tokens.ts";
import { logFields } from "../usage.ts";

const optional = Type.Optional;
const oneOrMany = <T extends ReturnType<typeof Type.Boolean | typeof Type.Integer>>(schema: T) =>
  Type.Optional(Type.Union([schema, Type.Array(schema)]));

const ownFields = {
  text: optional(Type.Union([Type.String(), Type.Array(Type.String())])),
  input_ids: optional(Type.Array(Type.Any(), { expected: "token ids, or lists of them" })),
  sampling_params: optional(
    Type.Union([
      Type.Record(Type.String(), Type.Any()),
      Type.Array(Type.Record(Type.String(), Type.Any())),
    ]),
  ),
  return_logprob: oneOrMany(Type.Boolean()),
  logprob_start_len: oneOrMany(Type.Integer()),
  top_logprobs_num: oneOrMany(Type.Integer()),
  return_text_in_logprobs: optional(Type.Boolean()),
  stream: optional(Type.Boolean()),
  rid: optional(Type.Union([Type.String(), Type.Array(Type.String())])),
} satisfies TProperties;

/** SGLang's own defaults, where they differ from llama.cpp's. */
const defaults = { temperature: 1, top_p: 1, top_k: 0, min_p: 0, max_new_tokens: 128 };

const paramFields = {
  max_new_tokens: optional(Type.Integer({ minimum: 0 })),
  n: optional(Type.Integer({ minimum: 1, maximum: 128 })),
  regex: optional(Type.String()),
  ebnf: optional(Type.String()),
  json_schema: optional(Type.Union([Type.String(), Type.Record(Type.String(), Type.Any())])),
  no_stop_trim: optional(Type.Boolean()),
  sampling_seed: optional(Type.Integer()),
} satisfies TProperties;

type Params = Omit<GenerationBody, "json_schema"> & {
  max_new_tokens?: number;
  n?: number;
  regex?: string;
  ebnf?: string;
  json_schema?: unknown;
  no_stop_trim?: boolean;
  sampling_seed?: number;
};

interface Body {
  model?: string;
  text?: string | string[];
  input_ids?: unknown[];
  sampling_params?: object | object[];
  return_logprob?: boolean | boolean[];
  logprob_start_len?: number | number[];
  top_logprobs_num?: number | number[];
  return_text_in_logprobs?: boolean;
  stream?: boolean;
  rid?: string | string[];
}

/** One answer that is wanted: its generation, and what its logprobs show. */
interface Item {
  readonly id: string;
  readonly generation: Generation;
  readonly logprobs: boolean;
  /** First prompt position whose log-probability is returned; undefined: none. */
  readonly start: number | undefined;
}

interface Work {
  readonly call: Call<Body>;
  readonly model: ServedModel;
  readonly items: readonly Item[];
  readonly list: boolean;
  readonly signal: AbortSignal;
  readonly started: number;
}

/** Requests that run, by `rid`, for /abort_request. */
type Aborts = Map<string, AbortController>;

export const sglangRoutes: RouteFactory = (samplers): Route[] => {
  const aborts: Aborts = new Map();
  const check = paramCheck(samplers);
  return [
    route({
      method: "POST",
      paths: ["/generate"],
      tag: "SGLang",
      summary: "Continue prompts",
      body: Type.Object({ model: optional(Type.String()), ...ownFields }),
      handle: (call) => generate(call as unknown as Call<Body>, check, aborts),
    }),
    route({
      method: "POST",
      paths: ["/abort_request"],
      tag: "SGLang",
      summary: "Stop a request, or all",
      body: Type.Object({ rid: optional(Type.String()), abort_all: optional(Type.Boolean()) }),
      bodyOptional: true,
      handle({ body }) {
        for (const [rid, abort] of aborts) {
          if (body.abort_all || rid === body.rid) abort.abort();
        }
        return new Response(null, { status: 200 });
      },
    }),
  ];
};

function paramCheck(samplers: readonly Sampler[]) {
  return new BodyCheck(bodySchema(samplers, paramFields));
}

async function generate(
  call: Call<Body>,
  check: ReturnType<typeof paramCheck>,
  aborts: Aborts,
): Promise<Response> {
  const { body } = call;
  const model = findModel(call.server, body.model);
  const own = new AbortController();
  const { items, list } = await readItems(call, model, check);
  const signal = AbortSignal.any([call.abort.signal, own.signal]);
  const work: Work = { call, model, items, list, signal, started: performance.now() };
  const ids = [call.id, ...[body.rid ?? []].flat()];
  for (const id of ids) aborts.set(id, own);
  const done = (): void => {
    for (const id of ids) aborts.delete(id);
  };
  if (body.stream) return call.stream(streamAll(work, own.signal, done));
  try {
    const results: object[] = [];
    const completions: Completion[] = [];
    for await (const { index, event } of generateAll(model, generations(work), signal)) {
      if (event.type !== "done") continue;
      completions[index] = event.completion;
      results[index] = result(work, index, event.completion);
    }
    call.note(logFields(completions));
    return Response.json(list ? results : results[0]);
  } catch (error) {
    if (!own.signal.aborted) throw error;
    const aborted = items.map((item) => abortedResult(item));
    return Response.json(list ? aborted : aborted[0]);
  } finally {
    done();
  }
}

function generations(work: Work): Generation[] {
  return work.items.map((item) => item.generation);
}

async function readItems(
  call: Call<Body>,
  model: ServedModel,
  check: ReturnType<typeof paramCheck>,
): Promise<{ items: Item[]; list: boolean }> {
  const { body, server } = call;
  const missing = ["input_embeds", "image_data", "token_ids_logprob", "lora_path"];
  refuseUnsupported(body, missing);
  if ((body.text === undefined) === (body.input_ids === undefined)) {
    throw badField("text", "Give either 'text' or 'input_ids'.");
  }
  const param = body.text === undefined ? "input_ids" : "text";
  const { prompts, list } = await readPrompts(model, body.text ?? body.input_ids, { param });
  const items = prompts.flatMap((prompt, i) => {
    const given = at(body.sampling_params, i, "sampling_params") ?? {};
    const params = check.parse(normalizeSampling({ ...defaults, ...given })) as Params;
    const logprobs = at(body.return_logprob, i, "return_logprob") ?? false;
    const first = at(body.logprob_start_len, i, "logprob_start_len") ?? -1;
    const start = logprobs && first >= 0 && first < prompt.length ? first : undefined;
    const limit = server.settings.limits.logprobs;
    const asked = at(body.top_logprobs_num, i, "top_logprobs_num");
    const top = readLogprobCount("top_logprobs_num", asked, limit);
    const generation: Generation = {
      ...readGeneration(server, toBody(params), model),
      prompt,
      logprobs: logprobs ? top : undefined,
      promptLogprobs: start === undefined ? undefined : top,
    };
    const id = at(body.rid, i, "rid") ?? call.id;
    checkSequences(server, prompts.length, params.n ?? 1);
    return choices(generation, params.n ?? 1).map((generation, choice) => ({
      id: choice === 0 && i === 0 ? id : `${id}-${i}-${choice}`,
      generation,
      logprobs,
      start,
    }));
  });
  return { items, list: list || items.length > 1 };
}

/** A field that is given once for all prompts, or once for each. */
function at<T>(value: T | readonly T[] | undefined, i: number, param: string): T | undefined {
  if (!Array.isArray(value)) return value as T | undefined;
  if (i < value.length) return value[i] as T;
  throw badField(param, `Field '${param}' has ${value.length} entries, fewer than prompts.`);
}

/** What would change the text or the answer, and is not offered: refused, not ignored. */
function refuseUnsupported(fields: object, names: readonly string[]): void {
  for (const name of names) {
    const value = (fields as Record<string, unknown>)[name];
    if (value === undefined || value === null) continue;
    throw badField(name, `Field '${name}' is not supported here.`);
  }
}

/** SGLang's names as those of the other routes. */
function toBody(params: Params): GenerationBody {
  refuseUnsupported(params, ["stop_regex", "structural_tag", "custom_params"]);
  const { max_new_tokens, regex, ebnf, json_schema, no_stop_trim, sampling_seed, ...rest } = params;
  return {
    ...rest,
    max_tokens: max_new_tokens,
    seed: sampling_seed ?? rest.seed,
    guided_regex: regex,
    grammar: ebnf,
    json_schema: typeof json_schema === "string" ? parseSchema(json_schema) : json_schema,
    include_stop_str_in_output: no_stop_trim,
  } as GenerationBody;
}

function parseSchema(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw badField("sampling_params.json_schema", "The schema is not valid JSON.");
  }
}

async function* streamAll(
  work: Work,
  own: AbortSignal,
  done: () => void,
): AsyncGenerator<string, void, undefined> {
  const { call, model, items } = work;
  const texts = items.map(() => "");
  const tokens: GeneratedToken[][] = items.map(() => []);
  const completions: Completion[] = [];
  const place = (index: number): object => (work.list ? { index } : {});
  try {
    for await (const { index, event } of generateAll(model, generations(work), work.signal)) {
      if (event.type === "text") {
        texts[index] += event.text;
        tokens[index]?.push(...event.tokens);
        const count = event.timings;
        yield sseData({
          text: texts[index],
          output_ids: tokens[index]?.map((token) => token.token),
          meta_info: { ...meta(work, index, count), finish_reason: null },
          ...place(index),
        });
      } else if (event.type === "done") {
        completions[index] = event.completion;
        yield sseData({ ...result(work, index, event.completion), ...place(index) });
      }
    }
    call.note(logFields(completions));
  } catch (error) {
    if (!own.aborted) throw error;
    for (const item of items) yield sseData(abortedResult(item));
  } finally {
    done();
  }
  yield sseDone;
}

function meta(work: Work, index: number, timings: Completion["timings"]): object {
  const item = work.items[index];
  return {
    id: item?.id,
    prompt_tokens: item?.generation.prompt.length,
    completion_tokens: timings.generatedTokens,
    cached_tokens: timings.cachedTokens,
    weight_version: "default",
    e2e_latency: (performance.now() - work.started) / 1000,
  };
}

function result(work: Work, index: number, completion: Completion): object {
  return {
    text: completion.text,
    output_ids: completion.tokens.map((token) => token.token),
    meta_info: {
      ...meta(work, index, completion.timings),
      finish_reason: finish(completion),
      ...logprobs(work, index, completion),
    },
  };
}

function abortedResult(item: Item): object {
  const finish_reason = { type: "abort", message: "Aborted by /abort_request" };
  return { text: "", output_ids: [], meta_info: { id: item.id, finish_reason } };
}

function finish(completion: Completion): object {
  if (completion.stopType === "limit") {
    return { type: "length", length: completion.timings.generatedTokens };
  }
  const matched =
    completion.stopType === "word" ? completion.stoppingWord : completion.stoppingToken;
  return { type: "stop", matched };
}

function logprobs(work: Work, index: number, completion: Completion): object {
  const item = work.items[index];
  if (!item?.logprobs) return {};
  const { tokenizer } = work.model;
  const named = work.call.body.return_text_in_logprobs === true;
  const entry = (token: number, logprob: number | null) => [
    logprob === null ? null : finiteLogprob(logprob),
    token,
    named ? pieceText(tokenizer, token) : null,
  ];
  const top = (score: ScoredToken | null | undefined) =>
    score && score.top.length > 0 ? score.top.map((t) => entry(t.token, t.logprob)) : null;
  const { start, generation } = item;
  const input = start === undefined ? [] : generation.prompt.slice(start);
  const scores = completion.promptScores?.slice(start ?? 0) ?? [];
  return {
    input_token_logprobs: input.map((token, i) => entry(token, scores[i]?.logprob ?? null)),
    input_top_logprobs: input.map((_, i) => top(scores[i])),
    output_token_logprobs: completion.tokens.map((token) =>
      entry(token.token, token.score?.logprob ?? null),
    ),
    output_top_logprobs: completion.tokens.map((token) => top(token.score)),
  };
}
