// Runs `wrinklefree batch`: as many lines in flight as fill the engine, each answer kept at once.
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { WrinkleFreeError } from "../../core/index.ts";
import { type Answer, answerId, Journal } from "./journal.ts";
import { type BatchLine, batchLines } from "./lines.ts";
import type { BatchOptions } from "./options.ts";
import { openTarget, type Target } from "./target.ts";

interface Tally {
  lines: number;
  failed: number;
  tokens: number;
}

export async function runBatch(input: string, options: BatchOptions): Promise<void> {
  const output = options.output ?? `${input.replace(/\.jsonl$/, "")}.out.jsonl`;
  checkPlaces(input, output);
  using journal = await Journal.open(output);
  const { total, left } = await countLines(input, options, journal);
  const before = total - left;
  const tally: Tally = { lines: 0, failed: 0, tokens: 0 };
  const started = performance.now();
  if (left > 0) {
    await using target = await openTarget(options);
    await answerAll(batchLines(input, options.shard), { journal, target, options, tally, left });
  }
  journal.finish();
  const seconds = (performance.now() - started) / 1000;
  const kept = before > 0 ? `, ${before} were there` : "";
  const speed = `${(tally.lines / seconds).toFixed(1)} lines/s, ${(tally.tokens / seconds).toFixed(0)} tokens/s`;
  console.log(`${output}: ${tally.lines} answered${kept}, ${tally.failed} with an error`);
  console.log(`${seconds.toFixed(1)} s with the load of the model: ${speed} generated`);
}

function checkPlaces(input: string, output: string): void {
  if (!existsSync(input)) {
    throw new WrinkleFreeError("not_found", `there is no file ${input}`, { file: input });
  }
  if (existsSync(output)) {
    throw new WrinkleFreeError("usage", `${output} is there already`, {
      flag: "--output",
      hint: "It is complete: batch writes OUTPUT.partial until all is answered.",
    });
  }
}

/** Lines of this shard, and those without an answer. Throws `usage` for two of one custom_id. */
async function countLines(
  input: string,
  { shard }: BatchOptions,
  journal: Journal,
): Promise<{ total: number; left: number }> {
  const seen = new Map<string, number>();
  let [total, left] = [0, 0];
  for await (const { number, customId } of batchLines(input, shard)) {
    total++;
    if (!journal.has(number, customId)) left++;
    if (customId === null) continue;
    const first = seen.get(customId);
    if (first !== undefined) {
      throw new WrinkleFreeError(
        "usage",
        `${input}: lines ${first} and ${number} have one custom_id, ${customId}`,
        { file: input, field: "custom_id" },
      );
    }
    seen.set(customId, number);
  }
  return { total, left };
}

interface Work {
  readonly journal: Journal;
  readonly target: Target;
  readonly options: BatchOptions;
  readonly tally: Tally;
  readonly left: number;
}

/** Twice as many lines as the engine computes together are in flight, so that none of it waits. */
async function answerAll(lines: AsyncGenerator<BatchLine>, work: Work): Promise<void> {
  const { journal, tally, left } = work;
  let failure: unknown;
  const worker = async (): Promise<void> => {
    while (failure === undefined) {
      const { value: line, done } = await lines.next();
      if (done) return;
      if (journal.has(line.number, line.customId)) continue;
      const answer = await answerLine(line, work);
      journal.add(answer);
      tally.lines++;
      if (answer.error !== null || answer.response?.status_code !== 200) tally.failed++;
      tally.tokens += generated(answer);
      if (process.stderr.isTTY) process.stderr.write(`\r${tally.lines}/${left} `);
    }
  };
  const guarded = (): Promise<void> =>
    worker().catch((error) => {
      failure ??= error;
    });
  await Promise.all(Array.from({ length: 2 * work.options.parallel }, guarded));
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  if (failure !== undefined) throw failure;
}

async function answerLine(line: BatchLine, { target }: Work): Promise<Answer> {
  const head = { id: answerId(line.number), custom_id: line.customId };
  if (line.request === undefined) {
    const error = { code: "invalid_line", message: `line ${line.number}: ${line.problem}` };
    return { ...head, response: null, error };
  }
  const { status, body } = await target.ask(line.request.url, line.request.body);
  const response = { status_code: status, request_id: randomUUID(), body };
  return { ...head, response, error: null };
}

function generated(answer: Answer): number {
  const body = answer.response?.body as { usage?: Record<string, number> } | undefined;
  return body?.usage?.completion_tokens ?? body?.usage?.output_tokens ?? 0;
}
