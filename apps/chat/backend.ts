// What answers a conversation: the engine in this process, or a server at a URL.
import { type ChatMessage, WrinkleFreeError } from "../../core/index.ts";
import { Client, ClientError, type Message } from "../client/typescript/index.ts";
import { generate } from "../server/generation.ts";
import type { ServedModel } from "../server/model.ts";
import { encodeRendered } from "../server/prompts.ts";

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
  const prompt = encodeRendered(model, model.template.render(messages));
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

/** Answers with a server. */
export function remoteBackend(url: string, apiKey: string | undefined): Backend {
  const client = new Client({ url, apiKey });
  return {
    name: client.url,
    async info() {
      const [model] = await client.models().catch(explain);
      return { server: client.url, model: model?.id ?? "unknown", ...model?.meta };
    },
    async *answer(messages, settings, signal) {
      const start = performance.now();
      let firstMs = 0;
      const stream = client.chatStream(messages as Message[], { extra: settings, signal });
      try {
        for await (const text of stream) {
          firstMs ||= performance.now() - start;
          yield text;
        }
      } catch (error) {
        explain(error);
      }
      const { usage, finishReason } = stream.answer ?? {};
      return {
        promptTokens: usage?.promptTokens ?? 0,
        cachedTokens: usage?.cachedTokens ?? 0,
        tokens: usage?.completionTokens ?? 0,
        firstMs,
        totalMs: performance.now() - start,
        cut: finishReason === "length",
      };
    },
    async close() {},
  };
}

/** Rethrows what the client throws as the project's own error. */
function explain(error: unknown): never {
  if (!(error instanceof ClientError)) throw error;
  if (error.kind === "connection") {
    throw new WrinkleFreeError("unavailable", error.message, {
      flag: "--url",
      hint: "Is the server running? Start one with: wrinklefree serve",
      cause: error,
    });
  }
  const status = error.status === undefined ? "" : `${error.status}: `;
  throw new WrinkleFreeError("bad_request", `${status}${error.message}`, {
    cause: error,
    hint: error.kind === "authentication" ? "Give the server's key with --api-key." : undefined,
  });
}
