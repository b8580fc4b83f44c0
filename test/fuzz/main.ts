// `bun run fuzz`: damaged inputs for every parser, for as long as wanted; fails on any finding.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chosen } from "./fuzzers.ts";
import type { Report } from "./progress.ts";
import { type Result, supervise } from "./supervise.ts";

const help = `bun run fuzz [--minutes 15] [--seed 1] [--only gguf,template] [--case N] [--keep DIR]
  --minutes  time of all together        --seed  other cases
  --only     these parsers               --case  this one case again
  --keep     where inputs of findings go (default: a new temporary folder)`;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "15" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
    case: { type: "string" },
    keep: { type: "string" },
    help: { type: "boolean" },
  },
});

if (values.help) console.log(help);
else process.exitCode = await run();

async function run(): Promise<number> {
  const folder = values.keep ?? mkdtempSync(join(tmpdir(), "wrinklefree-fuzz-"));
  const list = chosen(values.only);
  const shares = list.reduce((sum, { share }) => sum + share, 0);
  const index = values.case === undefined ? undefined : Number(values.case);
  const results: Result[] = [];
  console.log(
    row(["parser", "cases", "refused", "accepted", "crashes", "hangs", "wrong", "unclear"]),
  );
  for (const fuzzer of list) {
    const result = await supervise(fuzzer, {
      seed: Number(values.seed),
      milliseconds: (Number(values.minutes) * 60_000 * fuzzer.share) / shares,
      first: index ?? 0,
      last: index === undefined ? Number.MAX_SAFE_INTEGER : index + 1,
      folder,
    });
    results.push(result);
    console.log(describe(result));
  }
  const cases = results.reduce((sum, result) => sum + result.cases, 0);
  const reports = results.reduce((sum, result) => sum + result.reports.length, 0);
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
  console.log(
    `${cases} cases in ${seconds.toFixed(0)} s, seed ${values.seed}: ${reports} findings`,
  );
  for (const result of results) show(result);
  return reports === 0 ? 0 : 1;
}

function describe(result: Result): string {
  const count = (kind: Report["kind"]): number =>
    result.reports.filter((report) => report.kind === kind).length;
  const columns = [
    ...[result.name, result.cases, result.refused, result.accepted, count("crash"), count("hang")],
    ...[count("wrongly accepted"), count("unclear refusal")],
  ];
  const slowest = `slowest ${result.slowest.ms.toFixed(0)} ms (${result.slowest.index})`;
  const rest = `${result.seconds.toFixed(0)} s, ${slowest}, ${result.memory.toFixed(0)} MiB`;
  return `${row(columns)}  ${rest}`;
}

function row(cells: readonly (string | number)[]): string {
  return cells.map((cell, i) => (i === 0 ? `${cell}`.padEnd(15) : `${cell}`.padStart(9))).join("");
}

/** The first finding of each text, with the way to have it again. */
function show({ name, reports, folder }: Result): void {
  const seen = new Set<string>();
  for (const { index, kind, text, where } of reports) {
    // Findings of one kind in one place are one bug.
    const frames = where.split("\n").filter((line) => /^\s+at /.test(line));
    const place = frames.find((line) => !line.includes("/fuzzer.ts"))?.trim() ?? "";
    const same = `${kind} ${place}`;
    if (seen.has(same)) continue;
    seen.add(same);
    console.log(`\n${name} case ${index}: ${kind}: ${text}\n  ${place}\n  input in ${folder}`);
  }
}
