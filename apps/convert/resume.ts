// The note beside an unfinished output that tells a later run which tensors are whole.
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { writeFailure } from "../../plugins/standard.ts";

interface Note {
  /** Digest of what is written from what: source files and the whole header. */
  readonly fingerprint: string;
  readonly done: readonly string[];
}

/** Seconds between two notes. */
const interval = 1;

export class ResumeNote {
  readonly #path: string;
  readonly #fingerprint: string;
  readonly #done: Set<string>;
  #written = 0;

  constructor(path: string, fingerprint: string, done: Set<string>) {
    this.#path = path;
    this.#fingerprint = fingerprint;
    this.#done = done;
  }

  /** The note for `temporary`; `resume` = take over what an earlier run has done, if it is the same. */
  static open(temporary: string, fingerprint: string, resume: boolean): ResumeNote {
    const path = `${temporary}.json`;
    const done = resume && existsSync(temporary) ? readNote(path, fingerprint) : [];
    return new ResumeNote(path, fingerprint, new Set(done));
  }

  get done(): ReadonlySet<string> {
    return this.#done;
  }

  /** Marks tensors as whole; the file is renewed once a second. */
  add(...names: readonly string[]): void {
    for (const name of names) this.#done.add(name);
    const now = performance.now() / 1000;
    if (now - this.#written < interval) return;
    this.#written = now;
    this.save();
  }

  save(): void {
    const note: Note = { fingerprint: this.#fingerprint, done: [...this.#done] };
    try {
      writeFileSync(`${this.#path}.new`, JSON.stringify(note));
      renameSync(`${this.#path}.new`, this.#path);
    } catch (cause) {
      throw writeFailure(this.#path, 1, cause);
    }
  }

  remove(): void {
    for (const path of [this.#path, `${this.#path}.new`]) rmSync(path, { force: true });
  }
}

function readNote(path: string, fingerprint: string): readonly string[] {
  try {
    const note = JSON.parse(readFileSync(path, "utf8")) as Note;
    return note.fingerprint === fingerprint ? note.done : [];
  } catch {
    // No note, or one that a crash damaged: begin anew.
    return [];
  }
}

/** Digest of the output's header and of the source's files (path, size, time of change). */
export function fingerprintOf(sourceFiles: readonly string[], header: unknown): string {
  const hasher = new Bun.CryptoHasher("sha256");
  for (const path of sourceFiles) {
    const stat = statSync(path);
    hasher.update(`${path}\0${stat.size}\0${stat.mtimeMs}\0`);
  }
  hasher.update(
    JSON.stringify(header, (_, value) => (typeof value === "bigint" ? `${value}n` : value)),
  );
  return hasher.digest("hex");
}
