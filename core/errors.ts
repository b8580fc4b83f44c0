// Every error that the project raises on purpose: a code, a text that says what and where, a hint.

/** Which class of mistake an error reports; apps map it to an exit code or an HTTP status. */
export type ErrorCode =
  | "usage" // a flag or argument is wrong: exit code 2
  | "bad_file" // a file's content is damaged, truncated or contradicts itself
  | "unsupported" // well-formed, but not something this build can do
  | "not_found" // a file, tensor, plugin or model that is named is not there
  | "bad_request" // a request field is wrong: HTTP 400
  | "context_exceeded" // prompt longer than the context: HTTP 400
  | "overloaded" // queue full: HTTP 429
  | "unavailable" // still loading or shutting down: HTTP 503
  | "plugin" // a plugin breaks its interface, or two clash
  | "out_of_memory"
  | "cancelled"
  | "internal";

/** What an error concerns, for messages and for HTTP's `param`. */
export interface ErrorDetails {
  file?: string;
  tensor?: string;
  field?: string;
  flag?: string;
  /** What the reader can do about it. */
  hint?: string;
  cause?: unknown;
  /** Extra machine-readable members of the HTTP error object. */
  extra?: Record<string, unknown>;
}

/** Longer texts are cut: names in files and requests may have any length. */
const longestMessage = 1500;
/** Control characters, line ends, and what turns the direction of writing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const unprintable = /[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** `text` as one line: what could forge a line of a log or a terminal is written as an escape. */
export function oneLine(text: string): string {
  const line = text.slice(0, longestMessage + 1).replace(unprintable, escaped);
  return line.length <= longestMessage ? line : `${line.slice(0, longestMessage - 3)}...`;
}

function escaped(unit: string): string {
  const known = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[unit];
  return known ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** The one error class. `message` says what and where in one line; `hint` says what to do. */
export class WrinkleFreeError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(oneLine(message), details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "WrinkleFreeError";
    this.code = code;
    this.details = details;
  }

  get hint(): string | undefined {
    return this.details.hint;
  }
}

/** Throws an `internal` error unless `condition` holds: for what the code itself promises. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new WrinkleFreeError("internal", `assertion failed: ${message}`);
}

/** What `run` returns; an error of ours that does not name the file that it concerns gets its name. */
export function inFile<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof WrinkleFreeError) || error.message.includes(path)) throw error;
    throw new WrinkleFreeError(error.code, `${path}: ${error.message}`, {
      ...error.details,
      file: path,
    });
  }
}
