// Writes a GGUF file: header first, tensors in any order at their places, renamed when complete.
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { type MetadataValue, WrinkleFreeError } from "../../core/index.ts";
import { encodeHeader, padded, type TensorPlan } from "./encode.ts";

const alignment = 32;

interface Place extends TensorPlan {
  /** From the start of the file. */
  readonly offset: number;
  written: number;
}

/**
 * Writes to `<path>.part` until `rename`. A disk that is full, read-only or forbidden throws
 * `unsupported` with the reason and a hint.
 */
export class GgufWriter {
  readonly path: string;
  readonly temporary: string;
  readonly totalBytes: number;
  readonly #places = new Map<string, Place>();
  readonly #handle: number;
  #open = true;

  /** `done`: tensors that `<path>.part` already holds, written with the same plan. */
  constructor(
    path: string,
    metadata: Readonly<Record<string, MetadataValue>>,
    tensors: readonly TensorPlan[],
    options: {
      readonly types?: ReadonlyMap<string, number>;
      readonly done?: ReadonlySet<string>;
    } = {},
  ) {
    const header = encodeHeader(metadata, tensors, alignment, options.types);
    const done = options.done ?? new Set();
    this.path = path;
    this.temporary = `${path}.part`;
    let offset = header.length;
    for (const tensor of tensors) {
      const written = done.has(tensor.name) ? tensor.byteLength : 0;
      this.#places.set(tensor.name, { ...tensor, offset, written });
      offset += padded(tensor.byteLength, alignment);
    }
    this.totalBytes = offset;
    try {
      this.#handle = openSync(this.temporary, done.size > 0 ? "r+" : "w");
    } catch (cause) {
      throw this.#failed(cause);
    }
    try {
      ftruncateSync(this.#handle, this.totalBytes);
      writeAll(this.#handle, header, 0);
    } catch (cause) {
      this.abort({ keep: done.size > 0 });
      throw this.#failed(cause);
    }
  }

  /** Where a tensor's bytes go, for another thread that writes them itself and then says `written`. */
  offsetOf(name: string): number {
    return this.#place(name).offset;
  }

  /** Writes bytes of a tensor, piece after piece. */
  write(name: string, bytes: Uint8Array): void {
    const place = this.#place(name);
    if (place.written + bytes.byteLength > place.byteLength) {
      throw new WrinkleFreeError("internal", `${name}: more than its ${place.byteLength} bytes`);
    }
    this.#put(bytes, place.offset + place.written);
    place.written += bytes.byteLength;
  }

  /** Says that a tensor has been written whole by another thread. */
  written(name: string): void {
    const place = this.#place(name);
    place.written = place.byteLength;
  }

  /** Flushes the temporary file to the disk. Throws `internal` when a tensor is not written. */
  complete(): void {
    for (const { name, written, byteLength } of this.#places.values()) {
      if (written !== byteLength) throw new WrinkleFreeError("internal", `${name} was not written`);
    }
    try {
      fsyncSync(this.#handle);
      this.#close();
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  /** Makes the completed file appear under its name. */
  rename(): void {
    try {
      renameSync(this.temporary, this.path);
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  /** Closes; removes the temporary file unless it is kept for a resumption. */
  abort(options: { readonly keep?: boolean } = {}): void {
    this.#close();
    if (!options.keep) rmSync(this.temporary, { force: true });
  }

  #place(name: string): Place {
    const place = this.#places.get(name);
    if (place) return place;
    throw new WrinkleFreeError("internal", `${name} is not in the plan of ${this.path}`);
  }

  #close(): void {
    if (this.#open) closeSync(this.#handle);
    this.#open = false;
  }

  #put(bytes: Uint8Array, position: number): void {
    try {
      writeAll(this.#handle, bytes, position);
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  #failed(cause: unknown): WrinkleFreeError {
    return writeFailure(this.path, this.totalBytes, cause);
  }
}

/** Writes all of `bytes` at `position`; large buffers go in pieces. */
export function writeAll(handle: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.byteLength; ) {
    const length = Math.min(bytes.byteLength - done, 1 << 30);
    done += writeSync(handle, bytes, done, length, position + done);
  }
}

/** The error for a failed write, with what to do about it; an error of ours stays as it is. */
export function writeFailure(path: string, totalBytes: number, cause: unknown): WrinkleFreeError {
  const room = `Free ${Math.ceil(totalBytes / 2 ** 20)} MiB, or write to another disk with -o.`;
  const hints: Record<string, string> = {
    ENOSPC: room,
    EDQUOT: room,
    EFBIG: "The system's limit on file sizes (ulimit -f) is smaller than the output.",
    EACCES: "Choose a folder that you may write to with -o.",
    ENOENT: "The folder must exist: create it, or choose another with -o.",
    EROFS: "The disk is read-only: choose another with -o.",
  };
  if (cause instanceof WrinkleFreeError) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  const hint = hints[code ?? ""];
  return new WrinkleFreeError("unsupported", `cannot write ${path}: ${message}`, {
    file: path,
    hint,
    cause,
  });
}
