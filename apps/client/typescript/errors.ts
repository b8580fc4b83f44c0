// Why a call failed, as one error class with a kind that code can switch on.

/**
 * - `bad_request`: a field is wrong (400); `param` names it
 * - `context_exceeded`: the prompt is longer than the context (400)
 * - `authentication`: the API key is missing, wrong, or may not do this (401, 403)
 * - `not_found`: no such model or route (404)
 * - `overloaded`: the queue is full (429)
 * - `unavailable`: loading or shutting down (503)
 * - `server`: the server failed (other 5xx), or answered what is not its language
 * - `connection`: no connection, or it broke before the answer's end
 * - `timeout`: silence for longer than the timeout
 */
export type ErrorKind =
  | "bad_request"
  | "context_exceeded"
  | "authentication"
  | "not_found"
  | "overloaded"
  | "unavailable"
  | "server"
  | "connection"
  | "timeout";

export interface ErrorDetails {
  /** HTTP status; undefined where there was no answer. */
  readonly status?: number;
  /** The request's field that is wrong. */
  readonly param?: string;
  /** The server's name of the request, for its log. */
  readonly requestId?: string;
  /** Milliseconds after which the server wants to be asked again. */
  readonly retryAfter?: number;
  readonly cause?: unknown;
}

export class ClientError extends Error {
  readonly kind: ErrorKind;
  readonly status?: number;
  readonly param?: string;
  readonly requestId?: string;
  readonly retryAfter?: number;

  constructor(kind: ErrorKind, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "ClientError";
    this.kind = kind;
    this.status = details.status;
    this.param = details.param;
    this.requestId = details.requestId;
    this.retryAfter = details.retryAfter;
  }

  /** Whether the same call may succeed a little later. */
  get passing(): boolean {
    const status = this.status ?? 0;
    return (
      ["overloaded", "unavailable", "connection"].includes(this.kind) ||
      [408, 502, 504].includes(status)
    );
  }
}

interface ErrorBody {
  readonly error?: {
    readonly message?: string;
    readonly type?: string;
    readonly code?: number;
    readonly param?: string | null;
  };
}

/** The error of an answer that is not a success. */
export async function errorOf(reply: Response): Promise<ClientError> {
  const text = await reply.text().catch(() => "");
  let body: ErrorBody = {};
  try {
    body = JSON.parse(text) as ErrorBody;
  } catch {
    // A proxy's page, perhaps: its text says more than nothing.
  }
  return errorFrom(body, reply.status, text.slice(0, 300) || reply.statusText, {
    requestId: reply.headers.get("x-request-id") ?? undefined,
    retryAfter: retryAfter(reply.headers.get("retry-after")),
  });
}

/** The error of an error object, which also comes as an event in a stream. */
export function errorFrom(
  { error }: ErrorBody,
  status = typeof error?.code === "number" ? error.code : 500,
  text = "the server failed",
  details: ErrorDetails = {},
): ClientError {
  const kind = error?.type === "exceed_context_size_error" ? "context_exceeded" : kindOf(status);
  return new ClientError(kind, error?.message ?? text, {
    ...details,
    status,
    param: error?.param ?? undefined,
  });
}

function kindOf(status: number): ErrorKind {
  if (status === 401 || status === 403) return "authentication";
  if (status === 404) return "not_found";
  if (status === 429) return "overloaded";
  if (status === 503) return "unavailable";
  return status >= 500 || status === 408 ? "server" : "bad_request";
}

/** A Retry-After header, seconds or a date, in milliseconds from now. */
function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? 1000 * Number(header) : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}
