// Runs the cases of one fuzzer in a process of its own, which its parent may have to kill.
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Chance, caseSeed } from "./chance.ts";
import { Finding, type Fuzzer, type Input } from "./fuzzer.ts";
import { fuzzers } from "./fuzzers.ts";
import { progress as place, progressBytes, type Report } from "./progress.ts";

/** Inputs of one kind of finding that are kept. */
const mostFindings = 20;

/** What the process may grow by while it works, in MiB: inputs are small. */
const mostGrowth = 1024;

const [, , name, seedText, firstText, untilText, lastText, folder] = process.argv;
const fuzzer = fuzzers.find((one) => one.name === name);
if (fuzzer && folder) await runCases(fuzzer, folder);
process.exit(0);

async function runCases(fuzzer: Fuzzer, folder: string): Promise<void> {
  const shared = Bun.mmap(join(folder, "progress"), { shared: true });
  const state = new Float64Array(shared.buffer, shared.byteOffset, progressBytes / 8);
  const [seed, until, last] = [Number(seedText), Number(untilText), Number(lastText)];
  let found = 0;
  let base = 0;
  for (let index = Number(firstText); index < last && Date.now() < until; index++) {
    state[place.index] = index;
    const start = performance.now();
    let input: Input = "";
    try {
      input = fuzzer.make(new Chance(caseSeed(fuzzer.name, seed, index)));
      const verdict = await fuzzer.check(input);
      state[verdict === "accepted" ? place.accepted : place.refused]!++;
    } catch (error) {
      report(folder, fuzzer, index, input, error, found++ < mostFindings);
    }
    state[place.done]!++;
    const ms = performance.now() - start;
    if (ms > state[place.slowest]!) {
      state[place.slowest] = ms;
      state[place.slowestCase] = index;
    }
    if (index % 512 === 0) {
      const mib = process.memoryUsage.rss() / 2 ** 20;
      if (index >= Number(firstText) + 2048 && base === 0) base = mib;
      state[place.memory] = Math.max(state[place.memory]!, mib);
      if (base > 0 && mib > base + mostGrowth) {
        const error = new Error(`memory grew from ${base | 0} to ${mib | 0} MiB`);
        report(folder, fuzzer, index, input, error, true);
        return;
      }
    }
  }
  state[place.index] = -1;
  try {
    await fuzzer.close?.();
  } catch (error) {
    report(folder, fuzzer, last, "", error, true);
  }
}

function report(
  folder: string,
  fuzzer: Fuzzer,
  index: number,
  input: Input,
  error: unknown,
  keep: boolean,
): void {
  const kind = error instanceof Finding ? error.kind : "crash";
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const where = error instanceof Error ? error.stack?.split("\n").slice(0, 6).join("\n") : "";
  const line: Report = { index, kind, text: text.slice(0, 600), where: where ?? "" };
  appendFileSync(join(folder, "findings"), `${JSON.stringify(line)}\n`);
  if (keep) writeFileSync(join(folder, `${index}.${fuzzer.extension}`), input);
}
