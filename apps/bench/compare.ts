// Compares a run with an earlier one: a ratio for each test, and whether any became slower.
import { readFileSync } from "node:fs";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { WrinkleFreeError } from "../../core/index.ts";
import { type BenchReport, type ResultLine, testName } from "./report.ts";

const reportSchema = Type.Object({
  machine: Type.Object({
    cpu: Type.String(),
    isa: Type.String(),
    read_gbps: Type.Number(),
    int8_gmacs: Type.Number(),
  }),
  results: Type.Array(
    Type.Object({
      engine: Type.String(),
      shape: Type.String(),
      test: Type.Union([Type.Literal("prefill"), Type.Literal("decode")]),
      tokens: Type.Number(),
      depth: Type.Number(),
      batch: Type.Number(),
      threads: Type.Number(),
      tokens_per_s: Type.Number({ exclusiveMinimum: 0 }),
      spread: Type.Number(),
      fraction_of_bound: Type.Union([Type.Number(), Type.Null()]),
    }),
  ),
});

export interface Comparison {
  readonly old: ResultLine;
  readonly now: ResultLine;
  /** New speed over old. */
  readonly ratio: number;
  /** The same for the fractions of the bound: what is left when the machine had another day. */
  readonly fractionRatio: number | undefined;
  readonly slower: boolean;
}

/** Reads what `--json` wrote. Throws `not_found`, `bad_file`. */
export function readReport(path: string): BenchReport {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    const text = missing ? `no such file: ${path}` : `${path} is not JSON`;
    throw new WrinkleFreeError(missing ? "not_found" : "bad_file", text, {
      flag: "--compare",
      file: path,
      hint: "Give a file that `wrinklefree bench --json` wrote.",
      cause,
    });
  }
  const [error] = Value.Errors(reportSchema, json);
  if (error) {
    throw new WrinkleFreeError("bad_file", `${path}: ${error.path || "/"}: ${error.message}`, {
      flag: "--compare",
      file: path,
      field: error.path,
    });
  }
  return Value.Decode(reportSchema, json);
}

/**
 * Pairs results of the same engine, shape, test, depth, batch and threads (prompts also by length).
 * Slower: the new speed is below (1 - tolerance) of the old one.
 */
export function compare(
  old: readonly ResultLine[],
  now: readonly ResultLine[],
  tolerance: number,
): Comparison[] {
  const known = new Map(old.map((line) => [key(line), line]));
  return now.flatMap((line) => {
    const before = known.get(key(line));
    if (!before) return [];
    const ratio = line.tokens_per_s / before.tokens_per_s;
    const fractionRatio =
      line.fraction_of_bound && before.fraction_of_bound
        ? line.fraction_of_bound / before.fraction_of_bound
        : undefined;
    return [{ old: before, now: line, ratio, fractionRatio, slower: ratio < 1 - tolerance }];
  });
}

function key(line: ResultLine): string {
  const { engine, shape, test, tokens, depth, batch, threads } = line;
  return [engine, shape, test, test === "prefill" ? tokens : 0, depth, batch, threads].join("|");
}

/** A table of the comparison. */
export function comparisonTable(pairs: readonly Comparison[]): string {
  const rows = pairs.map(({ old, now, ratio, fractionRatio, slower }) =>
    [
      testName(now).padEnd(28),
      old.tokens_per_s.toFixed(1).padStart(9),
      now.tokens_per_s.toFixed(1).padStart(9),
      `${ratio.toFixed(2)} x`.padStart(8),
      (fractionRatio === undefined ? "" : `${fractionRatio.toFixed(2)} x`).padStart(10),
      slower ? "  slower" : "",
    ]
      .join(" ")
      .trimEnd(),
  );
  return ["test                            before       now    speed   of bound", ...rows].join(
    "\n",
  );
}
