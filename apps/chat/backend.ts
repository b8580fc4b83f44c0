// What answers a conversation: the engine in this process, or a server at a URL.
import { type ChatMessage, WrinkleFreeError } from "../../core/index.ts";
import { generate } from "../server/generation.ts";
import type { ServedModel } from "../server/model.ts";
import { encodeRendered } from "../server/prompts.ts";
import { readServerSentEvents } from "./events.ts";

/** Sampling fields, `max_tokens` and `seed`, as in a request to the server. */
export type Settings = Readonly<Record<string, unknown>>;

/** What an answer took. */
export interface AnswerStats {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly tokens: number;
  readonly firstMs: number;
  readonly totalMs: number;
  /** It ended because there was no room for more. */
  readonly cut: boolean;
}

export interface Backend {
  readonly name: string;
  /** Facts to show for /info. */
  info(): Promise<Readonly<Record<string, string | number>>>;
  /** Yields the answer's text, and returns what it took. */
  answer(
    messages: readonly ChatMessage[],
    settings: Settings,
    signal: AbortSignal,
  ): AsyncGenerator<string, AnswerStats, undefined>;
  close(): Promise<void>;
}

/** Answers with a model in this process. */
export function localBackend(model: ServedModel): Backend {
  return {
    name: model.id,
    async info() {
      const { info } = model.client;
      return {
        model: model.id,
        file: info.path,
        architecture: info.architecture,
        parameters: info.parameters,
        layers: info.layers,
        "hidden size": info.hidden,
        vocabulary: info.vocabulary,
        context: info.contextLength,
        quantization: info.quantization,
        "instruction set": info.isa,
        threads: info.threads,
      };
    },
    answer: (messages, settings, signal) => localAnswer(model, messages, settings, signal),
    close: () => model.close(),
  };
}

async function* localAnswer(
  model: ServedModel,
  messages: readonly ChatMessage[],
  settings: Settings,
  signal: AbortSignal,
): AsyncGenerator<string, AnswerStats, undefined> {
  const { max_tokens: maxTokens, seed, ...sampling } = settings;
  const prompt = encodeRendered(model.tokenizer, model.template.render(messages));
  const start = performance.now();
  let first = 0;
  const events = generate(
    model,
    {
      prompt,
      sampling,
      maxTokens: maxTokens as number | undefined,
      seed: seed as number | undefined,
    },
    signal,
  );
  for await (const event of events) {
    if (event.type === "text") {
      first ||= performance.now() - start;
      yield event.text;
    } else if (event.type === "done") {
      const { timings, stopType } = event.completion;
      return {
        promptTokens: prompt.length,
        cachedTokens: timings.cachedTokens,
        tokens: timings.generatedTokens,
        firstMs: first,
        totalMs: performance.now() - start,
        cut: stopType === "limit",
      };
    }
  }
  throw new WrinkleFreeError("internal", "the answer has no end");
}

/** The members of a server's chunk that are read here. */
interface Chunk {
  readonly error?: { readonly message: string };
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number };
  } | null;
}

/** Answers with an OpenAI-like server. */
export function remoteBackend(url: string, apiKey: string | undefined): Backend {
  const base = url.replace(/\/+$/, "").replace(/\/v1$/, "");
  const headers = { "content-type": "application/json", ...bearer(apiKey) };
  return {
    name: base,
    async info() {
      const reply = await request(`${base}/v1/models`, { headers });
      const list = (await reply.json()) as { data?: { id?: string; meta?: object }[] };
      const model = list.data?.[0];
      return { server: base, model: model?.id ?? "unknown", ...model?.meta };
    },
    async *answer(messages, settings, signal) {
      const body = { messages, ...settings, stream: true, stream_options: { include_usage: true } };
      const start = performance.now();
      const reply = await request(`${base}/v1/chat/completions`, {
        method: "POST",
        headers,
        body: JSON.stringify({ model: "default", ...body }),
        signal,
      });
      const stats = { promptTokens: 0, cachedTokens: 0, tokens: 0, firstMs: 0, cut: false };
      for await (const data of readServerSentEvents(reply)) {
        if (data === "[DONE]") break;
        const chunk = JSON.parse(data) as Chunk;
        if (chunk.error) throw new WrinkleFreeError("internal", chunk.error.message);
        const [choice] = chunk.choices ?? [];
        if (choice?.finish_reason === "length") stats.cut = true;
        if (choice?.delta?.content) {
          stats.firstMs ||= performance.now() - start;
          yield choice.delta.content;
        }
        if (!chunk.usage) continue;
        stats.promptTokens = chunk.usage.prompt_tokens;
        stats.tokens = chunk.usage.completion_tokens;
        stats.cachedTokens = chunk.usage.prompt_tokens_details?.cached_tokens ?? 0;
      }
      return { ...stats, totalMs: performance.now() - start };
    },
    async close() {},
  };
}

function bearer(apiKey: string | undefined): Record<string, string> {
  return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
}

async function request(url: string, init: RequestInit): Promise<Response> {
  let reply: Response;
  try {
    reply = await fetch(url, init);
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new WrinkleFreeError("unavailable", `${url} does not answer`, {
      flag: "--url",
      hint: "Is the server running? Start one with: wrinklefree serve",
      cause,
    });
  }
  if (reply.ok) return reply;
  const text = await reply.text();
  let message = text.slice(0, 500);
  try {
    message = (JSON.parse(text) as Chunk).error?.message ?? message;
  } catch {
    // Not JSON: the text itself is what the server has to say.
  }
  throw new WrinkleFreeError("bad_request", `${reply.status}: ${message}`);
}
