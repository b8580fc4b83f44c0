// Maps a file read-only: a native address for kernels, views on its bytes for TypeScript.
import { statSync } from "node:fs";
import { appendedModel } from "./appended.ts";
import { WrinkleFreeError } from "./errors.ts";
import { addressOf, bytesView } from "./native/memory.ts";

export interface MappedFile {
  readonly path: string;
  readonly byteLength: number;
  /** Native address of the first byte, valid until disposed. */
  readonly address: number;
  /** `length` bytes from `offset` without a copy. The caller has checked the range. */
  view(offset: number, length: number): Uint8Array;
  [Symbol.dispose](): void;
}

/** What a native runtime offers: a mapping of any size. */
interface Mapper {
  mapFile(path: string): {
    readonly address: number;
    readonly bytes: number;
    [Symbol.dispose](): void;
  };
}

/** Bun.mmap's limit. */
const largest = 2 ** 32;
let native: Mapper | undefined;

/** Files are mapped by `mapper` from now on; until then by Bun, up to 4 GiB each. */
export function mapFilesWith(mapper: Mapper): void {
  native = mapper;
}

/** Whether a native runtime maps files already. */
export function mapsNatively(): boolean {
  return native !== undefined;
}

/**
 * Maps `path`, or of a program the model appended to it. Throws `not_found` when it cannot be read,
 * `bad_file` when it is empty.
 */
export function mapFile(path: string): MappedFile {
  const size = checkedSize(path);
  return native ? nativeMap(path, native) : bunMap(path, size);
}

function checkedSize(path: string): number {
  const fail = (text: string, cause?: unknown): never => {
    throw new WrinkleFreeError("not_found", `cannot read ${path}: ${text}`, { file: path, cause });
  };
  let stat: ReturnType<typeof statSync>;
  try {
    stat = statSync(path);
  } catch (cause) {
    return fail((cause as Error).message, cause);
  }
  if (!stat?.isFile()) return fail("not a file");
  if (stat.size > 0) return stat.size;
  throw new WrinkleFreeError("bad_file", `${path} is empty`, {
    file: path,
    hint: "Download the file again.",
  });
}

function nativeMap(path: string, mapper: Mapper): MappedFile {
  const region = mapper.mapFile(path);
  const appended = appendedModel(path);
  const start = appended?.offset ?? 0;
  return {
    path,
    byteLength: appended?.byteLength ?? region.bytes,
    get address() {
      return region.address + start;
    },
    view: (offset, length) =>
      length === 0 ? new Uint8Array(0) : bytesView(region.address + start + offset, length),
    [Symbol.dispose]: () => region[Symbol.dispose](),
  };
}

function bunMap(path: string, size: number): MappedFile {
  if (size >= largest) {
    throw new WrinkleFreeError("unsupported", `${path}: 4 GiB or more need the native libraries`, {
      file: path,
      hint: "Build them with `npm run setup`.",
    });
  }
  let bytes: Uint8Array;
  try {
    bytes = Bun.mmap(path, { shared: true });
  } catch (cause) {
    throw new WrinkleFreeError("not_found", `cannot map ${path}: ${(cause as Error).message}`, {
      file: path,
      cause,
    });
  }
  const appended = appendedModel(path);
  if (appended) bytes = bytes.subarray(appended.offset, appended.offset + appended.byteLength);
  return {
    path,
    byteLength: bytes.byteLength,
    address: addressOf(bytes),
    view: (offset, length) => bytes.subarray(offset, offset + length),
    [Symbol.dispose]: () => {},
  };
}
