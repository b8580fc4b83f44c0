// Runs the checks against a server, one after another.
import { WrinkleFreeError } from "../../core/index.ts";
import type { Check, Context, Thresholds } from "./check.ts";
import { concurrency } from "./checks/concurrency.ts";
import { contextLimit } from "./checks/context.ts";
import { cancellation, leaks } from "./checks/leaks.ts";
import { cachedAnswers, prefixReuse } from "./checks/prefix.ts";
import { Prompts } from "./prompts.ts";
import { json, type Result, result, table } from "./report.ts";
import { Target, type TargetOptions } from "./target.ts";

export const checks: readonly Check[] = [
  prefixReuse,
  cachedAnswers,
  contextLimit,
  concurrency,
  cancellation,
  leaks,
];

export interface ValidateOptions extends TargetOptions, Thresholds {
  /** Names of the checks to run; empty: all. */
  readonly only: readonly string[];
  readonly seed: number;
  progress?(text: string): void;
}

export interface Validation {
  readonly target: Target;
  readonly results: readonly Result[];
}

/** Throws `unavailable` where the server does not answer, `usage` for an unknown check. */
export async function validate(options: ValidateOptions): Promise<Validation> {
  const unknown = options.only.find((name) => !checks.some((check) => check.name === name));
  if (unknown !== undefined) {
    throw new WrinkleFreeError("usage", `there is no check "${unknown}"`, {
      flag: "--only",
      hint: `checks: ${checks.map(({ name }) => name).join(", ")}`,
    });
  }
  const target = new Target(options);
  await target.connect();
  const wanted = checks.filter(
    ({ name }) => options.only.length === 0 || options.only.includes(name),
  );
  const results: Result[] = [];
  for (const check of wanted) {
    const progress = (text: string) => options.progress?.(`${check.name}: ${text}`);
    progress("...");
    const context: Context = {
      target,
      // Checks do not share prompts: what one leaves in a cache must not help another.
      prompts: new Prompts(options.seed + checks.indexOf(check) * 7919),
      thresholds: options,
      progress,
    };
    const started = performance.now();
    results.push(result(check, await check.run(context), performance.now() - started));
  }
  return { target, results };
}

export async function runValidate(options: ValidateOptions & { json?: boolean }): Promise<void> {
  const terminal = process.stderr.isTTY;
  const progress = (text: string) => {
    if (terminal) process.stderr.write(`\r\x1b[K${text}`);
  };
  const { target, results } = await validate({ ...options, progress });
  if (terminal) process.stderr.write("\r\x1b[K");
  const text = options.json ? json(target.url, target.model, results) : table(results);
  process.stdout.write(`${text}\n`);
  if (results.some(({ passed }) => !passed)) process.exitCode = 1;
}
