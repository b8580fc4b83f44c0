// OpenAI's legacy /v1/completions: with echo, the legacy logprobs object and token-id prompts.
import { Type } from "@sinclair/typebox";
import {
  type Completion,
  choices,
  finishReason,
  type GeneratedToken,
  type Generation,
  meanLogprob,
} from "../completion.ts";
import { badField } from "../errors.ts";
import { completeAll, generateAll } from "../generation.ts";
import {
  generatedLogprobs,
  joinLogprobs,
  promptLogprobs,
  rankedLogprobs,
} from "../legacy-logprobs.ts";
import type { ServedModel } from "../model.ts";
import { promptSchema, readPrompts } from "../prompts.ts";
import { type Route, type RouteFactory, route } from "../route.ts";
import { bodySchema, type GenerationBody, readGeneration, readLogprobCount } from "../schema.ts";
import { type Call, checkSequences, findModel } from "../state.ts";
import { sseData, sseDone } from "../stream.ts";
import { logFields, timingsOf, usageOf } from "../usage.ts";
import { fingerprint } from "../version.ts";
import { streamOptions } from "./openai-chat.ts";

const optional = Type.Optional;
const countLimit = { minimum: 1, maximum: 128 };

const ownFields = {
  prompt: promptSchema,
  n: optional(Type.Integer({ ...countLimit, description: "Texts for each prompt." })),
  best_of: optional(
    Type.Integer({ ...countLimit, description: "Texts to choose the n best from." }),
  ),
  echo: optional(Type.Boolean({ description: "Return the prompt too." })),
  logprobs: optional(
    Type.Union([Type.Integer(), Type.Boolean()], { description: "Alternatives with each token." }),
  ),
  return_tokens_as_token_ids: optional(
    Type.Boolean({ description: "Write tokens as 'token_id:17' in logprobs." }),
  ),
  return_token_ids: optional(Type.Boolean({ description: "Return the token ids too." })),
  prompt_logprobs: optional(
    Type.Integer({ description: "Alternatives to each prompt token, in vLLM's shape." }),
  ),
  add_special_tokens: optional(Type.Boolean({ description: "Put BOS before text. Default true." })),
  suffix: optional(Type.String()),
  stream_options: streamOptions,
};

type Body = GenerationBody & {
  prompt: unknown;
  n?: number;
  best_of?: number;
  echo?: boolean;
  logprobs?: number | boolean;
  return_tokens_as_token_ids?: boolean;
  return_token_ids?: boolean;
  prompt_logprobs?: number;
  add_special_tokens?: boolean;
  suffix?: string;
  stream_options?: { include_usage?: boolean | null };
};

interface Work {
  readonly call: Call<Body>;
  readonly model: ServedModel;
  readonly generations: readonly Generation[];
  readonly n: number;
  readonly id: string;
  readonly created: number;
}

export const completionRoutes: RouteFactory = (samplers): Route[] => [
  route({
    method: "POST",
    paths: ["/v1/completions"],
    tag: "OpenAI",
    summary: "Continue prompts",
    body: bodySchema(samplers, ownFields),
    handle: (call) => complete(call as Call<Body>),
  }),
];

async function complete(call: Call<Body>): Promise<Response> {
  const { body } = call;
  const model = findModel(call.server, body.model);
  if (body.suffix) throw badField("suffix", "Field 'suffix' is not supported by this model.");
  const n = body.n ?? 1;
  const candidates = body.best_of ?? n;
  if (candidates < n) throw badField("best_of", "Field 'best_of' must be at least 'n'.");
  if (body.stream && candidates > n) {
    throw badField("best_of", "Field 'best_of' cannot be used with 'stream'.");
  }
  const { prompts } = await readPrompts(model, body.prompt, {
    addSpecial: body.add_special_tokens,
  });
  checkSequences(call.server, prompts.length, candidates);
  const shared = readGeneration(call.server, body, model);
  const count = readCount(call);
  const logprobs = count ?? (candidates > n ? 0 : undefined);
  const generations = prompts.flatMap((prompt) =>
    choices({ ...shared, prompt, logprobs, promptLogprobs: promptCount(call, count) }, candidates),
  );
  const created = Math.floor(Date.now() / 1000);
  const work: Work = { call, model, generations, n: candidates, id: `cmpl-${call.id}`, created };
  if (body.stream) return call.stream(streamText(work));
  const completions = await completeAll(model, generations, call.abort.signal);
  call.note(logFields(completions, candidates));
  const best = prompts.flatMap((_, i) =>
    completions
      .slice(i * candidates, (i + 1) * candidates)
      .sort((a, b) => (candidates > n ? meanLogprob(b) - meanLogprob(a) : 0))
      .slice(0, n),
  );
  return Response.json({
    ...envelope(work),
    choices: best.map((completion, index) => choice(work, completion, index, n)),
    usage: usageOf(completions, candidates),
    ...(best.length === 1 && best[0] && { timings: timingsOf(best[0].timings) }),
  });
}

/** Alternatives that the client asks for; undefined: no logprobs. `true` is what 1 means. */
function readCount({ body, server }: Call<Body>): number | undefined {
  const { logprobs } = body;
  if (logprobs === undefined || logprobs === false) return undefined;
  const count = logprobs === true ? 1 : logprobs;
  return readLogprobCount("logprobs", count, server.settings.limits.logprobs);
}

/** Alternatives to each prompt token: what echo or prompt_logprobs asks for. */
function promptCount({ body, server }: Call<Body>, count: number | undefined): number | undefined {
  const asked = body.prompt_logprobs;
  const echoed = body.echo ? count : undefined;
  if (asked === undefined) return echoed;
  const limit = server.settings.limits.logprobs;
  return Math.max(readLogprobCount("prompt_logprobs", asked, limit), echoed ?? 0);
}

function envelope(work: Work): object {
  return {
    id: work.id,
    object: "text_completion",
    created: work.created,
    model: work.model.id,
    system_fingerprint: fingerprint,
  };
}

function choice(work: Work, completion: Completion, index: number, n: number): object {
  const prompt = work.generations[Math.floor(index / n) * work.n]?.prompt ?? [];
  const { body } = work.call;
  const echoed = body.echo ? echoText(work.model, prompt) : "";
  return {
    index,
    text: echoed + completion.text,
    logprobs: wholeLogprobs(work, completion, prompt, echoed.length),
    finish_reason: finishReason(completion),
    ...(body.return_token_ids && {
      prompt_token_ids: prompt,
      token_ids: completion.tokens.map((token) => token.token),
    }),
    ...(body.prompt_logprobs !== undefined && {
      prompt_logprobs: rankedLogprobs(work.model.tokenizer, completion.promptScores ?? []),
    }),
  };
}

/** The prompt as text; special tokens are not shown, and BOS that the server added is not either. */
function echoText(model: ServedModel, prompt: readonly number[]): string {
  return model.tokenizer.decode(prompt);
}

function wholeLogprobs(
  work: Work,
  completion: Completion,
  prompt: readonly number[],
  offset: number,
): object | null {
  if (readCount(work.call) === undefined) return null;
  const style = logprobStyle(work);
  const own = generatedLogprobs(style, scoredTokens(completion), offset);
  if (!work.call.body.echo) return own;
  return joinLogprobs(promptLogprobs(style, prompt, completion.promptScores ?? []), own);
}

/** One entry for every token, the end token too: clients count them. A stop string has none. */
function scoredTokens(completion: Completion): readonly GeneratedToken[] {
  return completion.stopType === "word" ? completion.textTokens : completion.tokens;
}

function logprobStyle(work: Work) {
  const { body } = work.call;
  const names = body.return_tokens_as_token_ids
    ? "token-id"
    : work.call.server.settings.logprobTokens;
  return { tokenizer: work.model.tokenizer, names } as const;
}

async function* streamText(work: Work): AsyncGenerator<string, void, undefined> {
  const { call, model, generations } = work;
  const completions: Completion[] = [];
  const offsets = generations.map(() => 0);
  const chunk = (index: number, text: string, more: object = {}): string => {
    const choice = { index, text, logprobs: null, finish_reason: null, ...more };
    return sseData({ ...envelope(work), choices: [choice] });
  };
  const scored = readCount(call) !== undefined;
  const logprobs = (index: number, tokens: readonly GeneratedToken[]): object =>
    scored ? { logprobs: generatedLogprobs(logprobStyle(work), tokens, offsets[index] ?? 0) } : {};
  for await (const { index, event } of generateAll(model, generations, call.abort.signal)) {
    const prompt = generations[index]?.prompt ?? [];
    if (event.type === "prompt") {
      if (!call.body.echo || event.processed < event.total) continue;
      const text = echoText(model, prompt);
      offsets[index] = text.length;
      const scores = event.scores && {
        logprobs: promptLogprobs(logprobStyle(work), prompt, event.scores),
      };
      yield chunk(index, text, scores);
    } else if (event.type === "text") {
      const more = logprobs(index, event.tokens);
      offsets[index] = (offsets[index] ?? 0) + event.text.length;
      yield chunk(index, event.text, more);
    } else {
      completions[index] = event.completion;
      // The end token has no text but an entry, like every other token.
      const ends = event.completion.tokens.filter((token) => token.end);
      const reason = { finish_reason: finishReason(event.completion) };
      yield chunk(index, "", { ...logprobs(index, ends), ...reason });
    }
  }
  call.note(logFields(completions, work.n));
  if (call.body.stream_options?.include_usage) {
    yield sseData({ ...envelope(work), choices: [], usage: usageOf(completions, work.n) });
  }
  yield sseDone;
}
