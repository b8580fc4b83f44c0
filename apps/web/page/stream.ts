// One answer of /v1/chat/completions as it streams: server-sent events to text, scores and timings.
import type { Message, TokenScore } from "./conversation.ts";
import { ask, ServerError } from "./server.ts";

export interface StreamRequest {
  readonly model?: string;
  readonly messages: readonly Message[];
  /** The last message is an answer to go on with. */
  readonly resume: boolean;
  readonly probabilities: boolean;
  /** Sampling options, max_tokens, seed. */
  readonly options: Readonly<Record<string, unknown>>;
}

export interface Timings {
  readonly cache_n: number;
  readonly prompt_n: number;
  readonly predicted_n: number;
  readonly predicted_per_second: number;
}

export type StreamEvent =
  | { readonly type: "progress"; readonly processed: number; readonly total: number }
  | { readonly type: "reasoning"; readonly text: string; readonly timings?: Timings }
  | {
      readonly type: "text";
      readonly text: string;
      readonly tokens: readonly TokenScore[];
      readonly timings?: Timings;
    }
  | { readonly type: "finish"; readonly reason: "stop" | "length" }
  | { readonly type: "timings"; readonly timings: Timings };

/** Alternatives that are asked for with each token. */
const alternatives = 5;

function bodyOf(request: StreamRequest): string {
  const { model, messages, resume, probabilities, options } = request;
  return JSON.stringify({
    ...options,
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    timings_per_token: true,
    return_progress: true,
    ...(resume && { continue_final_message: true, add_generation_prompt: false }),
    ...(probabilities && { logprobs: true, top_logprobs: alternatives }),
  });
}

/** Streams an answer. Throws ServerError with the server's text, also when it fails half-way. */
export async function* streamChat(
  request: StreamRequest,
  signal: AbortSignal,
): AsyncGenerator<StreamEvent, void, undefined> {
  const response = await ask("v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: bodyOf(request),
    signal,
  });
  if (!response.body) throw new ServerError(response.status, "The server sent no answer.");
  let whole = false;
  // Read to the end: leaving at [DONE] would close the connection, which the server counts as leaving.
  for await (const data of events(response.body)) {
    if (data === "[DONE]") whole = true;
    else yield* read(JSON.parse(data));
  }
  if (!whole) throw new ServerError(0, "The connection ended before the answer did.");
}

/** The data lines of server-sent events; comments (pings) are skipped. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith("data: ")) yield line.slice(6).trimEnd();
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

interface Scored {
  readonly token: string;
  readonly logprob: number;
}

interface Chunk {
  readonly error?: { readonly message?: string; readonly code?: number };
  readonly timings?: Timings;
  readonly prompt_progress?: { readonly processed: number; readonly total: number };
  readonly choices?: readonly {
    readonly delta?: {
      readonly content?: string | null;
      readonly reasoning_content?: string | null;
    };
    readonly logprobs?: {
      readonly content?: readonly (Scored & { readonly top_logprobs: readonly Scored[] })[];
    } | null;
    readonly finish_reason?: string | null;
  }[];
}

function* read(chunk: Chunk): Generator<StreamEvent, void, undefined> {
  const { error, timings, prompt_progress: progress } = chunk;
  if (error) throw new ServerError(error.code ?? 0, error.message ?? "The server failed.");
  if (progress) yield { type: "progress", ...progress };
  const choice = chunk.choices?.[0];
  const text = choice?.delta?.content;
  const reasoning = choice?.delta?.reasoning_content;
  if (reasoning) yield { type: "reasoning", text: reasoning, timings };
  if (text) yield { type: "text", text, tokens: scores(choice), timings };
  else if (timings) yield { type: "timings", timings };
  if (choice?.finish_reason) {
    yield { type: "finish", reason: choice.finish_reason === "length" ? "length" : "stop" };
  }
}

function scores(choice: NonNullable<Chunk["choices"]>[number]): TokenScore[] {
  return (choice.logprobs?.content ?? []).map(({ token, logprob, top_logprobs }) => [
    token,
    logprob,
    top_logprobs.map((other) => [other.token, other.logprob] as const),
  ]);
}
