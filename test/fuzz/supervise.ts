// Runs fuzzing processes, ends those that hang, and goes on behind the case that did it.
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Fuzzer } from "./fuzzer.ts";
import { progress as place, progressBytes, type Report } from "./progress.ts";

/** A case that takes longer hangs. Starting and ending may take as long as `startMs`. */
const hangMs = 10_000;
const startMs = 90_000;

export interface Result {
  readonly name: string;
  readonly cases: number;
  readonly accepted: number;
  readonly refused: number;
  readonly reports: readonly Report[];
  readonly seconds: number;
  readonly slowest: { readonly ms: number; readonly index: number };
  /** MiB of the process at most. */
  readonly memory: number;
  /** Where its findings are. */
  readonly folder: string;
}

export interface Work {
  readonly seed: number;
  readonly milliseconds: number;
  readonly first: number;
  readonly last: number;
  readonly folder: string;
}

/** Runs one fuzzer until its time or its cases are used up. */
export async function supervise(fuzzer: Fuzzer, work: Work): Promise<Result> {
  const folder = join(work.folder, fuzzer.name.replace(/\W+/g, "-"));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "progress"), new Uint8Array(progressBytes));
  writeFileSync(join(folder, "findings"), "");
  const shared = Bun.mmap(join(folder, "progress"), { shared: true });
  const state = new Float64Array(shared.buffer, shared.byteOffset, progressBytes / 8);
  const start = Date.now();
  const until = start + work.milliseconds;
  let lost = 0;
  for (let first = work.first; first < work.last && Date.now() < until; ) {
    state[place.index] = -1;
    const end = await one(fuzzer, { ...work, first, folder }, until, state);
    const at = state[place.index]!;
    if (end === "done") break;
    const kind = end.hang ? "hang" : "crash";
    const report: Report = { index: at, kind, text: end.text, where: "" };
    appendFileSync(join(folder, "findings"), `${JSON.stringify(report)}\n`);
    lost++;
    if (at < 0) break;
    first = at + 1;
  }
  const lines = existsSync(join(folder, "findings"))
    ? readFileSync(join(folder, "findings"), "utf8").split("\n").filter(Boolean)
    : [];
  return {
    name: fuzzer.name,
    cases: state[place.done]! + lost,
    accepted: state[place.accepted]!,
    refused: state[place.refused]!,
    reports: lines.map((line) => JSON.parse(line) as Report),
    seconds: (Date.now() - start) / 1000,
    slowest: { ms: state[place.slowest]!, index: state[place.slowestCase]! },
    memory: state[place.memory]!,
    folder,
  };
}

type End = "done" | { readonly hang: boolean; readonly text: string };

/** One process from `first` on. */
async function one(fuzzer: Fuzzer, work: Work, until: number, state: Float64Array): Promise<End> {
  const child = Bun.spawn({
    cmd: [
      process.execPath,
      new URL("child.ts", import.meta.url).pathname,
      ...[fuzzer.name, work.seed, work.first, until, work.last, work.folder].map(String),
    ],
    stdio: ["ignore", "ignore", "pipe"],
  });
  const errors = new Response(child.stderr).text();
  let last = -2;
  let since = Date.now();
  while (child.exitCode === null && child.signalCode === null) {
    await Promise.race([child.exited, Bun.sleep(200)]);
    const index = state[place.index]!;
    if (index !== last) [last, since] = [index, Date.now()];
    const limit = index < 0 ? startMs : hangMs;
    if (Date.now() - since < limit) continue;
    child.kill("SIGKILL");
    await child.exited;
    return { hang: true, text: `no end after ${limit / 1000} s` };
  }
  if (child.exitCode === 0) return "done";
  const text = (await errors).trim().split("\n").slice(-8).join(" ");
  return { hang: false, text: `exit ${child.exitCode ?? child.signalCode}: ${text.slice(0, 500)}` };
}
