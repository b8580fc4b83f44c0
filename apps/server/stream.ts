// Streamed responses: server-sent events and JSON lines over a ReadableStream that stops when the client leaves.
import { type HttpError, toHttpError } from "./errors.ts";

/** What comes between a stream's items when it is silent, and how an item and an error look in it. */
export interface Framing {
  readonly contentType: string;
  /** Sent after `pingMs` of silence. */
  readonly ping?: string;
  error(error: HttpError): string;
}

export const serverSentEvents: Framing = {
  contentType: "text/event-stream; charset=utf-8",
  ping: ":\n\n",
  error: (error) => sseData(error.body),
};

export const jsonLines: Framing = {
  contentType: "application/x-ndjson",
  error: (error) => `${JSON.stringify({ error: error.message })}\n`,
};

/** One server-sent event of JSON. */
export function sseData(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

/** One server-sent event with a name. */
export function sseEvent(name: string, value: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(value)}\n\n`;
}

export const sseDone = "data: [DONE]\n\n";

export interface StreamOptions {
  readonly framing?: Framing;
  /** Milliseconds of silence before a ping; 0 or less: none. */
  readonly pingMs?: number;
  /** Aborted when the client leaves: what makes `items` must stop on it. */
  readonly abort: AbortController;
  /** Told whether the client has to take what was sent, or waits for the next item. */
  readonly clientsTurn?: (its: boolean) => void;
  /** Called once at the end, with what ended it early if something did. */
  readonly onEnd?: (error?: unknown) => void;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Milliseconds that a failure has to show itself and still be answered with its own HTTP status. */
const graceMs = 2000;
const encoder = new TextEncoder();
const silence = Symbol("silence");

/**
 * Answers with a stream of `items` (framed text). An error before the first item rejects, so that it
 * is answered with its status; a later one is sent as an event and ends the stream.
 */
export async function streamResponse(
  items: AsyncIterableIterator<string>,
  options: StreamOptions,
): Promise<Response> {
  const framing = options.framing ?? serverSentEvents;
  let next: Promise<IteratorResult<string>> | undefined = items.next();
  await within(next, graceMs);
  let ended = false;
  const end = (error?: unknown): void => {
    if (!ended) options.onEnd?.(error);
    ended = true;
  };
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // Called only once the client has taken enough of what was sent before.
        options.clientsTurn?.(false);
        try {
          next ??= items.next();
          const result = await within(next, framing.ping ? (options.pingMs ?? 0) : 0);
          if (result === silence) {
            controller.enqueue(encoder.encode(framing.ping));
            return;
          }
          next = undefined;
          if (result.done) {
            controller.close();
            end();
          } else controller.enqueue(encoder.encode(result.value));
        } catch (error) {
          controller.enqueue(encoder.encode(framing.error(toHttpError(error))));
          controller.close();
          end(error);
        } finally {
          options.clientsTurn?.(true);
        }
      },
      cancel() {
        options.abort.abort();
        next?.catch(() => {});
        items.return?.(undefined).catch(() => {});
        end(new DOMException("the client left", "AbortError"));
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, {
    headers: {
      "content-type": framing.contentType,
      "cache-control": "no-cache",
      "x-accel-buffering": "no",
      ...options.headers,
    },
  });
}

/** The promise's value, or `silence` when it takes longer than `ms` (0: wait for ever). */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | typeof silence> {
  if (ms <= 0) return promise;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<typeof silence>((resolve) => {
    timer = setTimeout(resolve, ms, silence);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
