// What goes wrong in a request, as HTTP: llama.cpp's error types and codes in OpenAI's error object.
import { type ErrorCode, WrinkleFreeError } from "../../core/index.ts";

/** llama.cpp's name of an error class. */
export type ErrorType =
  | "invalid_request_error"
  | "authentication_error"
  | "permission_error"
  | "not_found_error"
  | "exceed_context_size_error"
  | "rate_limit_error"
  | "server_error"
  | "not_supported_error"
  | "unavailable_error";

/** The one error body of the API: `code` is the HTTP status, `param` the field that is wrong. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: ErrorType;
    readonly code: number;
    readonly param: string | null;
    readonly [extra: string]: unknown;
  };
}

const statusOf: Readonly<Record<ErrorType, number>> = {
  invalid_request_error: 400,
  exceed_context_size_error: 400,
  authentication_error: 401,
  permission_error: 403,
  not_found_error: 404,
  rate_limit_error: 429,
  server_error: 500,
  not_supported_error: 501,
  unavailable_error: 503,
};

const typeOf: Readonly<Record<ErrorCode, ErrorType>> = {
  usage: "invalid_request_error",
  bad_request: "invalid_request_error",
  context_exceeded: "exceed_context_size_error",
  not_found: "not_found_error",
  overloaded: "rate_limit_error",
  unavailable: "unavailable_error",
  unsupported: "invalid_request_error",
  cancelled: "invalid_request_error",
  bad_file: "server_error",
  plugin: "server_error",
  out_of_memory: "server_error",
  internal: "server_error",
};

export interface HttpErrorOptions {
  /** Differs from the type's own status for 405, 413 and the like. */
  status?: number;
  param?: string;
  extra?: Readonly<Record<string, unknown>>;
  headers?: Readonly<Record<string, string>>;
}

/** An error that a route raises on purpose. */
export class HttpError extends Error {
  readonly type: ErrorType;
  readonly status: number;
  readonly options: HttpErrorOptions;

  constructor(type: ErrorType, message: string, options: HttpErrorOptions = {}) {
    super(message);
    this.name = "HttpError";
    this.type = type;
    this.status = options.status ?? statusOf[type];
    this.options = options;
  }

  get body(): ErrorBody {
    return {
      error: {
        message: this.message,
        type: this.type,
        code: this.status,
        param: this.options.param ?? null,
        ...this.options.extra,
      },
    };
  }
}

/** The error of a field that is wrong: 400 with `param`. */
export function badField(param: string, message: string): HttpError {
  return new HttpError("invalid_request_error", message, { param });
}

/** The 400 of a prompt that does not fit the context; `count` says how many tokens it has. */
export function contextExceeded(
  param: string,
  tokens: number,
  context: number,
  { count = `${tokens}`, note = "" } = {},
): HttpError {
  return new HttpError(
    "exceed_context_size_error",
    `request (${count} tokens) exceeds the available context size (${context} tokens), ` +
      `try increasing it${note}`,
    { param, extra: { n_prompt_tokens: tokens, n_ctx: context } },
  );
}

/** Any thrown value as an HttpError; what the project did not raise on purpose is a 500 without details. */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof WrinkleFreeError && error.code !== "internal") return fromWrinkleFree(error);
  return new HttpError("server_error", "The server failed on this request; its log says more.");
}

function fromWrinkleFree(error: WrinkleFreeError): HttpError {
  const type = typeOf[error.code];
  const hint = type === "exceed_context_size_error" ? undefined : error.hint;
  return new HttpError(type, sentences(error.message, hint), {
    param: error.details.field,
    extra: error.details.extra,
    ...(type === "rate_limit_error" && { headers: { "retry-after": "1" } }),
  });
}

/** A message and its hint as one text. */
export function sentences(message: string, hint: string | undefined): string {
  if (!hint) return message;
  const end = /[.!?]$/.test(message) ? "" : ".";
  return `${message}${end} ${hint.charAt(0).toUpperCase()}${hint.slice(1)}`;
}

/** The JSON response of an error. */
export function errorResponse(error: HttpError): Response {
  return Response.json(error.body, { status: error.status, headers: error.options.headers });
}

/** For requests, and for probes, of a server that is about to end. */
export function shuttingDown(): HttpError {
  const headers = { "retry-after": "5", connection: "close" };
  return new HttpError("unavailable_error", "The server is shutting down.", { headers });
}
