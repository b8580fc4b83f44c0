// A model appended to a program: model file at a page's start, then a footer that says where.
import { closeSync, openSync, readSync, statSync } from "node:fs";

export interface Appended {
  /** Bytes before the model, a multiple of `pageBytes`. */
  readonly offset: number;
  readonly byteLength: number;
  /** It is the model that every program comes with. */
  readonly builtIn: boolean;
}

/** Largest page of the systems we run on (arm64 has 4, 16 or 64 KiB). */
export const pageBytes = 1 << 16;

const magic = "WFMODEL1";
/** magic, offset (u64), length (u64), 1 where it is built in (u32); little-endian. */
const footerBytes = 28;

export function writeFooter({ offset, byteLength, builtIn }: Appended): Uint8Array {
  const bytes = new Uint8Array(footerBytes);
  bytes.set(new TextEncoder().encode(magic));
  const view = new DataView(bytes.buffer);
  view.setBigUint64(8, BigInt(offset), true);
  view.setBigUint64(16, BigInt(byteLength), true);
  view.setUint32(24, builtIn ? 1 : 0, true);
  return bytes;
}

/** The model at the end of the file `path`; undefined without one, or without such a file. */
export function appendedModel(path: string): Appended | undefined {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size < pageBytes + footerBytes) return undefined;
  const bytes = new Uint8Array(footerBytes);
  const file = openSync(path, "r");
  try {
    readSync(file, bytes, 0, footerBytes, size - footerBytes);
  } finally {
    closeSync(file);
  }
  if (new TextDecoder().decode(bytes.subarray(0, 8)) !== magic) return undefined;
  const view = new DataView(bytes.buffer);
  const offset = Number(view.getBigUint64(8, true));
  const byteLength = Number(view.getBigUint64(16, true));
  const fits = offset > 0 && byteLength > 0 && offset + byteLength + footerBytes === size;
  if (!fits || offset % pageBytes !== 0) return undefined;
  return { offset, byteLength, builtIn: view.getUint32(24, true) === 1 };
}
