// One streamed completion against an OpenAI-like server, with the time of everything that arrives.
import { readEvents } from "../../client/typescript/events.ts";

export interface Server {
  readonly url: string;
  readonly apiKey?: string;
  readonly model?: string;
}

export interface StreamResult {
  /** Milliseconds (performance.now) of sending, of each piece of text, of the end. */
  readonly sent: number;
  readonly arrivals: readonly number[];
  readonly ended: number;
  /** The server's own counts. */
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** What went wrong; the stream counts for nothing then. */
  readonly error?: string;
}

export interface StreamOptions {
  readonly maxTokens: number;
  readonly signal?: AbortSignal;
  /** Gets each piece of text. */
  readonly onText?: (text: string) => void;
}

type Json = Record<string, unknown>;

/** Milliseconds that one request may take. */
const timeoutMs = 30 * 60_000;

/** Completes a prompt greedily, past end tokens where the server can. Never throws. */
export async function streamCompletion(
  server: Server,
  prompt: string,
  options: StreamOptions,
): Promise<StreamResult> {
  const arrivals: number[] = [];
  const counts = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  const sent = performance.now();
  const finish = (error?: string): StreamResult => {
    const ended = performance.now();
    return { sent, arrivals, ended, ...counts, ...(error !== undefined && { error }) };
  };
  try {
    const reply = await post(server, prompt, options);
    if (!reply.ok) return finish(`status ${reply.status}: ${(await reply.text()).slice(0, 200)}`);
    for await (const data of readEvents(reply, () => {})) {
      if (data === "[DONE]") break;
      const event = JSON.parse(data) as Json;
      if (event.error) return finish(JSON.stringify(event.error).slice(0, 200));
      readCounts(event, counts);
      const [choice] = (event.choices ?? []) as Json[];
      if (typeof choice?.text !== "string" || choice.text === "") continue;
      arrivals.push(performance.now());
      options.onText?.(choice.text);
    }
    return finish();
  } catch (error) {
    return finish(error instanceof Error ? error.message : String(error));
  }
}

function post(server: Server, prompt: string, options: StreamOptions): Promise<Response> {
  const limit = AbortSignal.timeout(timeoutMs);
  const { signal = limit } = options;
  return fetch(`${server.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...authorization(server) },
    body: JSON.stringify({
      ...(server.model !== undefined && { model: server.model }),
      prompt,
      max_tokens: options.maxTokens,
      temperature: 0,
      seed: 1,
      ignore_eos: true,
      stream: true,
      stream_options: { include_usage: true },
    }),
    signal: AbortSignal.any([signal, limit]),
  });
}

export function authorization(server: Server): Record<string, string> {
  return server.apiKey === undefined ? {} : { authorization: `Bearer ${server.apiKey}` };
}

/** OpenAI's usage, and llama.cpp's timings for what usage does not say. */
function readCounts(
  event: Json,
  counts: { promptTokens: number; cachedTokens: number; completionTokens: number },
): void {
  const usage = (event.usage ?? {}) as Json;
  const timings = (event.timings ?? {}) as Json;
  const details = (usage.prompt_tokens_details ?? {}) as Json;
  const first = (...values: unknown[]): number | undefined =>
    values.find((value): value is number => typeof value === "number");
  counts.promptTokens = first(usage.prompt_tokens) ?? counts.promptTokens;
  counts.completionTokens =
    first(usage.completion_tokens, timings.predicted_n) ?? counts.completionTokens;
  counts.cachedTokens = first(details.cached_tokens, timings.cache_n) ?? counts.cachedTokens;
}
