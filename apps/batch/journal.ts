// The answers so far, in a file that only grows: what was cut off at its end is asked again.
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  openSync,
  renameSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { createInterface } from "node:readline";
import { WrinkleFreeError } from "../../core/index.ts";

/** One line of the output; `id` tells the input's line, so that it is answered once. */
export interface Answer {
  readonly id: string;
  readonly custom_id: string | null;
  readonly response: {
    readonly status_code: number;
    readonly request_id: string;
    readonly body: unknown;
  } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

export const answerId = (line: number): string => `batch_req_${line}`;

export class Journal implements Disposable {
  readonly #path: string;
  readonly #output: string;
  readonly #file: number;
  readonly #done: ReadonlyMap<string, string | null>;

  private constructor(output: string, path: string, done: ReadonlyMap<string, string | null>) {
    this.#output = output;
    this.#path = path;
    this.#done = done;
    this.#file = openSync(path, "a");
  }

  /** Goes on with what `output`.partial holds. Throws `bad_file` where a line of it is no answer. */
  static async open(output: string): Promise<Journal> {
    const path = `${output}.partial`;
    return new Journal(output, path, existsSync(path) ? await readAnswers(path) : new Map());
  }

  /** Whether the line has its answer. Throws `usage` where that is another request's. */
  has(line: number, customId: string | null): boolean {
    const known = this.#done.get(answerId(line));
    if (known === undefined) return false;
    if (known === customId) return true;
    throw new WrinkleFreeError(
      "usage",
      `${this.#path} is of another input: line ${line} was ${known}, not ${customId}`,
      { file: this.#path, hint: "Remove it, or give another --output." },
    );
  }

  add(answer: Answer): void {
    const bytes = new TextEncoder().encode(`${JSON.stringify(answer)}\n`);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
  }

  /** Gives the whole its name. */
  finish(): void {
    fsyncSync(this.#file);
    renameSync(this.#path, this.#output);
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** custom_id by id. An end without a line break was cut off while it was written: it is removed. */
async function readAnswers(path: string): Promise<Map<string, string | null>> {
  truncateSync(path, await wholeLines(path));
  const done = new Map<string, string | null>();
  for await (const line of createInterface({ input: createReadStream(path) })) {
    let answer: Partial<Answer> | undefined;
    try {
      answer = JSON.parse(line);
    } catch {
      answer = undefined;
    }
    if (typeof answer?.id !== "string" || answer.custom_id === undefined) {
      throw new WrinkleFreeError("bad_file", `${path}: line ${done.size + 1} is no answer`, {
        file: path,
        hint: "Remove the file to start anew, or give another --output.",
      });
    }
    done.set(answer.id, answer.custom_id);
  }
  return done;
}

/** Bytes up to and with the last line break. */
async function wholeLines(path: string): Promise<number> {
  let [at, end] = [0, 0];
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    const last = chunk.lastIndexOf(10);
    if (last >= 0) end = at + last + 1;
    at += chunk.length;
  }
  return end;
}
