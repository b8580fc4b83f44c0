// Structured logs: JSON lines for machines, one readable line each when a person watches.
import pino, { type DestinationStream, type Logger } from "pino";

export type { Logger } from "pino";

export type LogFormat = "json" | "pretty" | "auto";

export interface LogOptions {
  readonly level?: string;
  readonly format?: LogFormat;
}

/** A logger that writes to standard error. "auto": readable lines on a terminal, JSON elsewhere. */
export function createLog(options: LogOptions = {}): Logger {
  const format = options.format ?? "auto";
  const pretty = format === "pretty" || (format === "auto" && process.stderr.isTTY);
  const stream: DestinationStream = pretty
    ? { write: (line) => void process.stderr.write(prettyLine(line)) }
    : { write: (line) => void process.stderr.write(line) };
  const settings = {
    level: options.level ?? "info",
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(settings, stream);
}

/** `12:03:44 info  POST /completion 200 34ms id=...` from a JSON line. */
export function prettyLine(line: string): string {
  const { level, time, msg, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const fields = Object.entries(rest).map(([key, value]) => `${key}=${plain(value)}`);
  const clock = String(time).slice(11, 19);
  const stack = err
    ? `\n${(err as { stack?: string }).stack ?? ""}`.replaceAll("\n", "\n    ")
    : "";
  return `${clock} ${String(level).padEnd(5)} ${[msg, ...fields].join(" ")}${visible(stack)}\n`;
}

function plain(value: unknown): string {
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return visible(text.replaceAll("\n", "\\n"));
}

/** Escapes what would move a terminal's cursor, or begin a line that looks like an entry of its own. */
function visible(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const control = /[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]/g;
  return text.replace(control, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
