// Shows the verdicts: a table for people, or JSON.
import { styleText } from "node:util";
import type { Check, Verdict } from "./check.ts";

export interface Result extends Verdict {
  readonly name: string;
  readonly title: string;
  readonly ms: number;
}

export function result(check: Check, verdict: Verdict, ms: number): Result {
  return { name: check.name, title: check.title, ms: Math.round(ms), ...verdict };
}

/** One line a check, then the sum. Colours follow NO_COLOR and the terminal. */
export function table(results: readonly Result[]): string {
  const mark = (passed: boolean) =>
    passed ? styleText("green", "ok  ") : styleText("red", "FAIL");
  const lines = results.flatMap(({ name, title, passed, reason }) => [
    `${mark(passed)}  ${name.padEnd(15)} ${title}`,
    `      ${" ".repeat(15)} ${reason}`,
  ]);
  const failed = results.filter(({ passed }) => !passed).length;
  const sum = failed === 0 ? "all checks passed" : `${failed} of ${results.length} checks failed`;
  return [...lines, "", sum].join("\n");
}

/** The same for programs; the figures' names are kept flat, as dashboards like them. */
export function json(url: string, model: string | undefined, results: readonly Result[]): string {
  const figures = Object.assign({}, ...results.map(({ figures }) => figures)) as object;
  const errors = results.filter(({ passed }) => !passed).map((r) => `${r.name}: ${r.reason}`);
  const passed = errors.length === 0;
  return JSON.stringify({ url, model, passed, ...figures, errors, checks: results }, undefined, 2);
}
