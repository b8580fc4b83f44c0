// What a check is: it looks at the server and gives a verdict with figures and a reason.
import type { Prompts } from "./prompts.ts";
import type { Target } from "./target.ts";

/** Limits that decide; each is a flag. */
export interface Thresholds {
  /** Tokens of the shared prefix. */
  readonly prefixTokens: number;
  /** Part of the prefix that must come from the cache. */
  readonly minCached: number;
  /** First latency over second, where the server counts no cached tokens. */
  readonly minSpeedup: number;
  /** Requests at the same time. */
  readonly concurrency: number;
  readonly minSuccess: number;
  /** Part of the concurrent answers that must equal the solo ones. */
  readonly minEqual: number;
  /** Short requests in the search for leaks. */
  readonly cycles: number;
  /** Milliseconds after which an abandoned request may still run. */
  readonly cancelMs: number;
  /** Context length; undefined: the server says. */
  readonly context: number | undefined;
}

export interface Context {
  readonly target: Target;
  readonly prompts: Prompts;
  readonly thresholds: Thresholds;
  /** Tells people what is going on. */
  progress(text: string): void;
}

export interface Verdict {
  readonly passed: boolean;
  /** One line: what was seen; for a failure also what that means. */
  readonly reason: string;
  readonly figures: Readonly<Record<string, number | boolean | null>>;
}

export interface Check {
  readonly name: string;
  /** What it shows, for the table. */
  readonly title: string;
  run(context: Context): Promise<Verdict>;
}

/** A request that failed, as a verdict. */
export function requestFailed(what: string, status: number, error = ""): Verdict {
  const text = error.replaceAll(/\s+/g, " ").slice(0, 200);
  const end = status === 0 ? "got no answer" : `was answered ${status}`;
  return { passed: false, reason: `${what} ${end}: ${text}`, figures: {} };
}
