// Downloads one file into the cache: goes on where it stopped, checks the digest, then names it.
import {
  closeSync,
  createReadStream,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { WrinkleFreeError } from "../../../core/index.ts";
import { writeFailure } from "../../../plugins/standard.ts";
import type { HubEnvironment } from "./environment.ts";
import { request, type Subject } from "./request.ts";

export interface RemoteFile {
  readonly path: string;
  readonly size: number;
  /** sha256 of a large file, else git's sha1 of the blob. */
  readonly digest: string;
  readonly algorithm: "sha256" | "git-sha1";
}

/** Times that a connection may be lost without a single new byte. */
const fruitlessTries = 5;

/**
 * Brings `file` to `target`. Throws `bad_file` when its digest is wrong twice, and what `request`
 * throws.
 */
export async function download(
  url: string,
  file: RemoteFile,
  target: string,
  environment: HubEnvironment,
  subject: Subject,
  progress: (bytes: number) => void,
): Promise<void> {
  if (existsSync(target)) return progress(file.size);
  mkdirSync(dirname(target), { recursive: true });
  const partial = `${target}.incomplete`;
  for (let attempt = 0; attempt < 2; attempt++) {
    await fetchAll(url, file, partial, environment, subject, progress);
    if ((await digestOf(partial, file)) === file.digest) {
      renameSync(partial, target);
      return;
    }
    // Damaged on the way, or left by something else: once more from the start.
    progress(-statSync(partial).size);
    rmSync(partial);
  }
  throw new WrinkleFreeError(
    "bad_file",
    `${subject.repo}: ${file.path} does not have the digest it should`,
    {
      file: file.path,
      hint: "The hub, a mirror or a proxy delivers damaged data: try again later.",
    },
  );
}

async function fetchAll(
  url: string,
  file: RemoteFile,
  partial: string,
  environment: HubEnvironment,
  subject: Subject,
  progress: (bytes: number) => void,
): Promise<void> {
  let fruitless = 0;
  let have = sizeOf(partial);
  if (have > file.size) {
    rmSync(partial);
    have = 0;
  }
  progress(have);
  if (!existsSync(partial)) closeSync(openSync(partial, "w"));
  while (have < file.size) {
    const range: Record<string, string> = have > 0 ? { range: `bytes=${have}-` } : {};
    const response = await request(url, environment, subject, range);
    // A server that ignores the range begins anew.
    const from = response.status === 206 ? have : 0;
    progress(from - have);
    const failure = await save(response, partial, from, file, progress);
    const now = sizeOf(partial);
    fruitless = now > have ? 0 : fruitless + 1;
    have = now;
    if (have >= file.size) return;
    if (fruitless >= fruitlessTries) {
      const text = failure?.message ?? "the connection ends early";
      throw new WrinkleFreeError("unavailable", `${subject.repo}: ${file.path}: ${text}`, {
        file: file.path,
        hint: "Run the command again: it goes on where it stopped.",
      });
    }
    await Bun.sleep(environment.retryDelay * 2 ** fruitless);
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Appends the body from byte `from`; returns what cut it off, if anything did. */
async function save(
  response: Response,
  partial: string,
  from: number,
  file: RemoteFile,
  progress: (bytes: number) => void,
): Promise<Error | undefined> {
  const handle = openSync(partial, from === 0 ? "w" : "r+");
  let at = from;
  try {
    for await (const chunk of response.body ?? []) {
      if (at + chunk.byteLength > file.size) {
        throw new WrinkleFreeError("bad_file", `${file.path} is larger than the hub lists it`);
      }
      for (let done = 0; done < chunk.byteLength; ) {
        done += writeSync(handle, chunk, done, chunk.byteLength - done, at + done);
      }
      at += chunk.byteLength;
      progress(chunk.byteLength);
    }
    return undefined;
  } catch (error) {
    const { syscall } = error as NodeJS.ErrnoException;
    if (error instanceof WrinkleFreeError) throw error;
    if (syscall === "write") throw writeFailure(partial, file.size, error);
    return error as Error;
  } finally {
    closeSync(handle);
  }
}

async function digestOf(path: string, { algorithm, size }: RemoteFile): Promise<string> {
  const hasher = new Bun.CryptoHasher(algorithm === "sha256" ? "sha256" : "sha1");
  if (algorithm === "git-sha1") hasher.update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hasher.update(chunk as Uint8Array);
  }
  return hasher.digest("hex");
}
