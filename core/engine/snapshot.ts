// Saves and restores cached pages as a file: versioned, bound to the model, checksummed.
import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { WrinkleFreeError } from "../errors.ts";

/**
 * File layout (little-endian): "WFKV", u32 version, u32 header bytes, header JSON, u32 token ids,
 * the pages one after another, SHA-256 of all before it.
 */
const magic = 0x564b4657;
const version = 1;
const hashBytes = 32;
const prefixBytes = 12;
const headerLimit = 1 << 16;
const tokenLimit = 1 << 24;

/** Links are not followed, so that a name in the folder never stands for a file elsewhere. */
const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_TRUNC, O_WRONLY } = constants;

/** What a snapshot must agree on to be restored. */
export interface SnapshotKey {
  /** Identifies the weights: keys and values of another model are of no use. */
  readonly model: string;
  readonly pagePositions: number;
  readonly pageBytes: number;
}

interface Header extends SnapshotKey {
  readonly tokens: number;
}

/** Writes a snapshot under a temporary name, then renames it. Returns its size in bytes. */
export function writeSnapshot(
  path: string,
  key: SnapshotKey,
  tokens: readonly number[],
  pages: Iterable<Uint8Array>,
): number {
  const temporary = `${path}.${process.pid}.tmp`;
  const hash = createHash("sha256");
  let written = 0;
  let file = -1;
  try {
    file = openSync(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    const put = (bytes: Uint8Array): void => {
      hash.update(bytes);
      written += writeAll(file, bytes);
    };
    const header = Buffer.from(JSON.stringify({ ...key, tokens: tokens.length } satisfies Header));
    const prefix = Buffer.alloc(prefixBytes);
    prefix.writeUInt32LE(magic, 0);
    prefix.writeUInt32LE(version, 4);
    prefix.writeUInt32LE(header.length, 8);
    put(prefix);
    put(header);
    put(new Uint8Array(Uint32Array.from(tokens).buffer));
    for (const page of pages) put(page);
    written += writeAll(file, hash.digest());
    closeSync(file);
    file = -1;
    renameSync(temporary, path);
    return written;
  } catch (cause) {
    if (file >= 0) closeSync(file);
    rmSync(temporary, { force: true });
    throw new WrinkleFreeError("bad_file", `cannot save the cache to ${path}: ${message(cause)}`, {
      file: path,
      cause,
    });
  }
}

/**
 * Checks a whole snapshot, then hands its pages to `page` one by one. Nothing is handed over from a
 * file that is damaged or of another model. Returns the token ids.
 */
export function readSnapshot(
  path: string,
  key: SnapshotKey,
  page: (tokens: readonly number[], bytes: Uint8Array) => void,
): number[] {
  const fail = (text: string): never => {
    throw new WrinkleFreeError("bad_file", `${path}: ${text}`, {
      file: path,
      hint: "Save the cache again with this server and model.",
    });
  };
  let file: number;
  try {
    file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    throw new WrinkleFreeError("not_found", `no saved cache ${path}`, { file: path });
  }
  try {
    const size = fstatSync(file).size;
    const prefix = readExactly(file, 0, prefixBytes) ?? fail("is too short for a saved cache");
    if (prefix.readUInt32LE(0) !== magic) fail("is not a saved cache");
    if (prefix.readUInt32LE(4) !== version) fail(`has version ${prefix.readUInt32LE(4)}`);
    const headerBytes = prefix.readUInt32LE(8);
    if (headerBytes > headerLimit) fail(`has a header of ${headerBytes} bytes`);
    const header = parseHeader(readExactly(file, prefixBytes, headerBytes)) ?? fail("bad header");
    for (const name of ["model", "pagePositions", "pageBytes"] as const) {
      if (header[name] !== key[name]) fail(`was saved with another ${name}`);
    }
    const count = header.tokens;
    if (!Number.isInteger(count) || count < 1 || count > tokenLimit) fail(`holds ${count} tokens`);
    const pages = Math.ceil(count / key.pagePositions);
    const start = prefixBytes + headerBytes;
    const pagesStart = start + count * 4;
    const end = pagesStart + pages * key.pageBytes;
    if (size !== end + hashBytes) fail(`has ${size} bytes, expected ${end + hashBytes}`);
    if (!sameHash(file, end)) fail("is damaged: its checksum is wrong");
    const ids = readExactly(file, start, count * 4) ?? fail("is truncated");
    const tokens = Array.from({ length: count }, (_, i) => ids.readUInt32LE(i * 4));
    for (let i = 0; i < pages; i++) {
      const bytes = readExactly(file, pagesStart + i * key.pageBytes, key.pageBytes);
      page(
        tokens.slice(i * key.pagePositions, (i + 1) * key.pagePositions),
        bytes ?? fail("is truncated"),
      );
    }
    return tokens;
  } finally {
    closeSync(file);
  }
}

function parseHeader(bytes: Buffer | undefined): Header | undefined {
  try {
    return JSON.parse(bytes?.toString("utf8") ?? "") as Header;
  } catch {
    return undefined;
  }
}

function sameHash(file: number, end: number): boolean {
  const hash = createHash("sha256");
  const step = 1 << 22;
  for (let at = 0; at < end; at += step) {
    const part = readExactly(file, at, Math.min(step, end - at));
    if (!part) return false;
    hash.update(part);
  }
  return readExactly(file, end, hashBytes)?.equals(hash.digest()) ?? false;
}

function readExactly(file: number, at: number, length: number): Buffer | undefined {
  const buffer = Buffer.alloc(length);
  let have = 0;
  while (have < length) {
    const got = readSync(file, buffer, have, length - have, at + have);
    if (got === 0) return undefined;
    have += got;
  }
  return buffer;
}

function writeAll(file: number, bytes: Uint8Array): number {
  let done = 0;
  while (done < bytes.length) done += writeSync(file, bytes, done, bytes.length - done);
  return bytes.length;
}

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
