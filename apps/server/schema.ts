// Request fields that the dialects share, as TypeBox schemas, and their reading into a Generation.
import { type Static, type TObject, type TProperties, type TSchema, Type } from "@sinclair/typebox";
import { type Sampler, samplingSchema } from "../../core/index.ts";
import type { Generation } from "./completion.ts";
import { constraintFields, readConstraint } from "./constraint.ts";
import { badField } from "./errors.ts";
import type { ServedModel } from "./model.ts";
import { checkToken } from "./prompts.ts";
import { checkCount, type ServerState } from "./state.ts";

const optional = <T extends TSchema>(schema: T) => Type.Optional(schema);

/** The largest number of tokens that a request can name; more is the same as unlimited. */
const tokenCount = (description: string) => optional(Type.Integer({ minimum: -1, description }));

/** Fields of every generating route. Unknown fields are ignored, and null is the same as absent. */
export const generationFields = {
  model: optional(Type.String({ description: "Name of the model; one model answers to any." })),
  stream: optional(Type.Boolean({ description: "Answer with server-sent events." })),
  stop: optional(
    Type.Union([Type.String(), Type.Array(Type.String())], {
      description: "Text that ends the answer and is not part of it.",
    }),
  ),
  stop_token_ids: optional(Type.Array(Type.Integer(), { description: "Tokens that end it." })),
  include_stop_str_in_output: optional(Type.Boolean()),
  skip_special_tokens: optional(Type.Boolean({ description: "Default true." })),
  seed: optional(Type.Integer({ description: "Same seed, same text. Below 0: random." })),
  max_tokens: tokenCount("Tokens to generate at most; -1: until the context is full."),
  max_completion_tokens: tokenCount("The same as max_tokens."),
  n_predict: tokenCount("The same as max_tokens."),
  cache_prompt: optional(Type.Boolean({ description: "Use and keep cached prefixes." })),
  cache_salt: optional(
    Type.String({ maxLength: 256, description: "Requests with other salts share no cache." }),
  ),
  priority: optional(Type.Integer({ description: "Lower runs earlier." })),
  sse_ping_interval: optional(
    Type.Number({ description: "Seconds of silence before a ping; below 0: none." }),
  ),
  t_max_predict_ms: optional(Type.Number({ description: "Milliseconds for the answer." })),
  ...constraintFields,
} satisfies TProperties;

/** A dialect's body: its own fields, the shared ones, and every loaded sampler's options. */
export function bodySchema<T extends TProperties>(samplers: readonly Sampler[], own: T) {
  const sampling = samplingSchema(samplers).properties as Record<never, TSchema>;
  return Type.Object({ ...sampling, ...generationFields, ...own });
}

export type GenerationBody = Static<TObject<typeof generationFields>> & Record<string, unknown>;

/** Other engines' names of sampling options, with what they mean here. */
const synonyms: Readonly<Record<string, string>> = {
  repetition_penalty: "repeat_penalty",
  typical: "typical_p",
  min_new_tokens: "min_tokens",
};

/**
 * Rewrites what peers accept to what the schemas say: other names, and values that mean "off"
 * (top_k -1, temperature below 0). Done before the check, so that it stays strict.
 */
export function normalizeSampling(
  body: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const fields: Record<string, unknown> = { ...body };
  for (const [other, own] of Object.entries(synonyms)) {
    if (fields[other] == null) continue;
    fields[own] ??= fields[other];
    delete fields[other];
  }
  if (typeof fields.top_k === "number") fields.top_k = Math.max(0, fields.top_k);
  if (typeof fields.temperature === "number") fields.temperature = Math.max(0, fields.temperature);
  return fields;
}

/** Every sampler's options: the request's, else the server's, else the samplers' own defaults. */
export function samplingOptions(
  server: ServerState,
  body: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const name of Object.keys(samplingSchema(server.samplers).properties)) {
    const value = body[name] ?? server.settings.sampling[name];
    if (value !== undefined) options[name] = value;
  }
  return options;
}

/** The shared fields of a request as a Generation without its prompt. Throws 400 naming a field. */
export function readGeneration(
  server: ServerState,
  body: GenerationBody,
  model: ServedModel,
): Omit<Generation, "prompt"> {
  const { limits } = server.settings;
  const stop = typeof body.stop === "string" ? [body.stop] : (body.stop ?? []);
  checkCount("stop", stop.length, limits.stopStrings);
  const stopTokens = (body.stop_token_ids ?? []).map((token, i) =>
    checkToken(model.tokenizer, token, `stop_token_ids[${i}]`),
  );
  checkCount("stop_token_ids", stopTokens.length, limits.stopStrings);
  return {
    sampling: withoutEndTokens(samplingOptions(server, body), model),
    constraint: readConstraint(body),
    seed: readSeed(body.seed ?? server.settings.defaultSeed),
    maxTokens: readMaxTokens(body, server),
    stop,
    stopTokens,
    ignoreEndTokens: body.ignore_eos === true,
    special: body.skip_special_tokens === false,
    includeStop: body.include_stop_str_in_output,
    cachePrompt: body.cache_prompt ?? server.settings.cachePrompt,
    cacheSalt: cacheSalt(server, body.cache_salt),
    priority: body.priority,
    timeoutMs: readTimeout(body, server),
  };
}

/** Requests share cached prefixes when their salts are equal. */
export function cacheSalt(server: ServerState, own: string | undefined): string | undefined {
  return server.tenant === undefined ? own : `${server.tenant}/${own ?? ""}`;
}

/** ignore_eos as biases: the model's own end tokens are banned, those that the request adds are not. */
function withoutEndTokens(
  sampling: Record<string, unknown>,
  model: ServedModel,
): Record<string, unknown> {
  if (sampling.ignore_eos !== true) return sampling;
  const bias = sampling.logit_bias ?? [];
  const entries = Array.isArray(bias) ? bias : Object.entries(bias as object);
  const banned = model.endTokens.map((token) => [token, false]);
  return { ...sampling, ignore_eos: false, logit_bias: [...entries, ...banned] };
}

/** A 32-bit seed; undefined is a random one. */
export function readSeed(seed: number | undefined): number | undefined {
  return seed === undefined || seed < 0 ? undefined : Number(BigInt.asUintN(32, BigInt(seed)));
}

function readMaxTokens(body: GenerationBody, server: ServerState): number | undefined {
  const asked = body.max_completion_tokens ?? body.max_tokens ?? body.n_predict;
  const limit = server.settings.maxTokens;
  if (asked === undefined || asked === -1) return limit;
  return Math.min(asked, limit ?? Infinity);
}

function readTimeout(body: GenerationBody, server: ServerState): number | undefined {
  const asked = body.t_max_predict_ms;
  const limit = server.settings.timeoutMs;
  if (asked === undefined || asked <= 0) return limit;
  return Math.min(asked, limit ?? Infinity);
}

/** A count of alternatives within the limit of the dialect. Throws 400 naming the field. */
export function readLogprobCount(param: string, value: number | undefined, limit: number): number {
  const count = value ?? 0;
  if (count < 0 || count > limit) {
    throw badField(param, `Field '${param}' must be an integer from 0 to ${limit}, not ${count}.`);
  }
  return count;
}
