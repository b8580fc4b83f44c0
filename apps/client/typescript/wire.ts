// Between the client's data and the server's JSON.
import type { Answer, Message, Prompt, SamplingOptions, ToolCall } from "./types.ts";

/** The sampling fields of a request, without those that were left out. */
function samplingFields(options: SamplingOptions): Record<string, unknown> {
  const { maxTokens, temperature, topK, topP, minP, seed, stop, extra } = options;
  const fields = {
    max_tokens: maxTokens,
    temperature,
    top_k: topK,
    top_p: topP,
    min_p: minP,
    seed,
    stop: typeof stop === "string" ? [stop] : stop,
  };
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(given), ...extra };
}

/** The body of POST /completion. */
export function completionBody(
  prompt: Prompt,
  options: SamplingOptions,
  model: string | undefined,
): Record<string, unknown> {
  const { max_tokens: limit, ...fields } = samplingFields(options);
  const room = limit === undefined ? {} : { n_predict: limit };
  return { ...(model !== undefined && { model }), prompt, ...room, ...fields };
}

/** The body of POST /v1/chat/completions. */
export function chatBody(
  messages: readonly Message[],
  options: SamplingOptions,
  model: string | undefined,
): Record<string, unknown> {
  return { model: model ?? "default", messages, ...samplingFields(options) };
}

/** An answer of /completion, or the last event of its stream. */
export interface CompletionReply {
  readonly content: string;
  readonly stop: boolean;
  readonly stop_type?: string;
  readonly model?: string;
  readonly tokens_evaluated?: number;
  readonly tokens_predicted?: number;
  readonly timings?: { readonly cache_n?: number };
}

export function completionAnswer(reply: CompletionReply, text: string): Answer {
  return {
    text,
    finishReason: reply.stop_type === "limit" ? "length" : "stop",
    usage: {
      promptTokens: reply.tokens_evaluated ?? 0,
      cachedTokens: reply.timings?.cache_n ?? 0,
      completionTokens: reply.tokens_predicted ?? 0,
    },
    model: reply.model ?? "",
    toolCalls: [],
  };
}

interface UsageReply {
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
}

interface ToolCallDelta {
  readonly index?: number;
  readonly id?: string;
  readonly function?: { readonly name?: string; readonly arguments?: string };
}

interface MessageReply {
  readonly content?: string | null;
  readonly tool_calls?: readonly ToolCallDelta[] | null;
}

/** An answer of /v1/chat/completions, or a chunk of its stream. */
export interface ChatReply {
  readonly model?: string;
  readonly choices?: readonly {
    readonly message?: MessageReply;
    readonly delta?: MessageReply;
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: UsageReply | null;
}

/** Puts an answer together from one reply, or from the chunks of a stream in their order. */
export class ChatCollector {
  #text = "";
  #finishReason = "stop";
  #model = "";
  #usage: UsageReply = {};
  readonly #calls: { id: string; name: string; arguments: string }[] = [];

  /** Returns the text that is new. */
  add(reply: ChatReply): string {
    const [choice] = reply.choices ?? [];
    const message = choice?.message ?? choice?.delta;
    const text = message?.content ?? "";
    this.#text += text;
    this.#model = reply.model ?? this.#model;
    this.#usage = reply.usage ?? this.#usage;
    this.#finishReason = choice?.finish_reason ?? this.#finishReason;
    message?.tool_calls?.forEach((call, i) => {
      const known = this.#calls[call.index ?? i] ?? { id: "", name: "", arguments: "" };
      this.#calls[call.index ?? i] = known;
      known.id ||= call.id ?? "";
      known.name ||= call.function?.name ?? "";
      known.arguments += call.function?.arguments ?? "";
    });
    return text;
  }

  answer(): Answer {
    return {
      text: this.#text,
      finishReason: this.#finishReason,
      usage: {
        promptTokens: this.#usage.prompt_tokens ?? 0,
        cachedTokens: this.#usage.prompt_tokens_details?.cached_tokens ?? 0,
        completionTokens: this.#usage.completion_tokens ?? 0,
      },
      model: this.#model,
      toolCalls: this.#calls.map(
        ({ id, name, arguments: text }): ToolCall => ({
          id,
          type: "function",
          function: { name, arguments: text },
        }),
      ),
    };
  }
}
