// Writes a GGUF file as a stream: header first, then one tensor after another; renamed when complete.
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

/**
 * Writes to `<path>.part` until `finish`. Tensors come in the order of the plan, each in one or more
 * pieces. A disk that is full, read-only or forbidden throws `unsupported` with the reason and a hint.
 */
export class GgufWriter {
  readonly path: string;
  readonly temporary: string;
  readonly totalBytes: number;
  readonly #tensors: readonly TensorPlan[];
  readonly #handle: number;
  #index = 0;
  #written = 0;
  #position: number;
  #open = true;

  /** `resumeAt`: tensors that `<path>.part` already holds whole (0 = start afresh). */
  constructor(
    path: string,
    metadata: Readonly<Record<string, MetadataValue>>,
    tensors: readonly TensorPlan[],
    options: { readonly types?: ReadonlyMap<string, number>; readonly resumeAt?: number } = {},
  ) {
    const header = encodeHeader(metadata, tensors, alignment, options.types);
    const resumeAt = options.resumeAt ?? 0;
    this.path = path;
    this.temporary = `${path}.part`;
    this.#tensors = tensors;
    this.totalBytes = tensors.reduce(
      (sum, t) => sum + padded(t.byteLength, alignment),
      header.length,
    );
    this.#position = header.length;
    for (const tensor of tensors.slice(0, resumeAt)) {
      this.#position += padded(tensor.byteLength, alignment);
    }
    this.#index = resumeAt;
    try {
      this.#handle = openSync(this.temporary, resumeAt > 0 ? "r+" : "w");
    } catch (cause) {
      throw this.#failed(cause);
    }
    if (resumeAt > 0) ftruncateSync(this.#handle, this.#position);
    else this.#put(header, 0);
  }

  /** Appends bytes of the tensor whose turn it is. */
  write(name: string, bytes: Uint8Array): void {
    const tensor = this.#tensors[this.#index];
    if (tensor?.name !== name) {
      throw new WrinkleFreeError("internal", `${name} written where ${tensor?.name} was due`);
    }
    if (this.#written + bytes.byteLength > tensor.byteLength) {
      throw new WrinkleFreeError("internal", `${name}: more than its ${tensor.byteLength} bytes`);
    }
    this.#put(bytes, this.#position + this.#written);
    this.#written += bytes.byteLength;
    if (this.#written < tensor.byteLength) return;
    this.#put(
      new Uint8Array(padded(this.#written, alignment) - this.#written),
      this.#position + this.#written,
    );
    this.#position += padded(this.#written, alignment);
    this.#written = 0;
    this.#index++;
  }

  /** Flushes the temporary file to the disk. Throws `internal` when tensors are missing. */
  complete(): void {
    if (this.#index !== this.#tensors.length) {
      throw new WrinkleFreeError("internal", `${this.#tensors[this.#index]?.name} was not written`);
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

  #close(): void {
    if (this.#open) closeSync(this.#handle);
    this.#open = false;
  }

  #put(bytes: Uint8Array, position: number): void {
    try {
      for (let done = 0; done < bytes.byteLength; ) {
        const length = Math.min(bytes.byteLength - done, 1 << 30);
        done += writeSync(this.#handle, bytes, done, length, position + done);
      }
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  #failed(cause: unknown): WrinkleFreeError {
    const code = (cause as NodeJS.ErrnoException).code;
    const hints: Record<string, string> = {
      ENOSPC: `Free ${Math.ceil(this.totalBytes / 2 ** 20)} MiB, or write to another disk with -o.`,
      EACCES: "Choose a folder that you may write to with -o.",
      ENOENT: "The folder must exist: create it, or choose another with -o.",
      EROFS: "The disk is read-only: choose another with -o.",
    };
    return new WrinkleFreeError(
      "unsupported",
      `cannot write ${this.temporary}: ${(cause as Error).message}`,
      { file: this.path, hint: hints[code ?? ""], cause },
    );
  }
}
