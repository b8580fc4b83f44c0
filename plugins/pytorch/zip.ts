// Finds the entries of an uncompressed zip archive (what torch.save writes) in a mapped file.
import { type MappedFile, WrinkleFreeError } from "../../core/index.ts";

export interface ZipEntry {
  /** Place of the entry's bytes in the file. */
  readonly offset: number;
  readonly byteLength: number;
}

const endRecord = 0x06054b50;
const end64Locator = 0x07064b50;
const end64Record = 0x06064b50;
const centralEntry = 0x02014b50;
const localEntry = 0x04034b50;
/** The end record is 22 bytes with a comment of at most 65535 behind it. */
const longestTail = 22 + 65535;
const escaped = 0xffffffff;
const mostEntries = 1_000_000;

/** Entries by name. Throws `bad_file` for anything that is not a whole, uncompressed archive. */
export function readZip(file: MappedFile): Map<string, ZipEntry> {
  const fail = (text: string): never => {
    throw new WrinkleFreeError("bad_file", `${file.path}: ${text}`, {
      file: file.path,
      hint: "The file is truncated or damaged: download or save it again.",
    });
  };
  const { count, offset, size } = findDirectory(file, fail);
  if (count > mostEntries || offset + size > file.byteLength) fail("the zip directory is cut off");
  const bytes = file.view(offset, size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries = new Map<string, ZipEntry>();
  for (let i = 0, at = 0; i < count; i++) {
    if (at + 46 > size || view.getUint32(at, true) !== centralEntry)
      fail("the zip directory is damaged");
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((place) =>
      view.getUint16(at + place, true),
    ) as [number, number, number];
    const next = at + 46 + nameLength + extraLength + commentLength;
    if (next > size) fail("the zip directory is damaged");
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    if (view.getUint16(at + 10, true) !== 0)
      fail(`entry ${name} is compressed, which torch.save never does`);
    const extra = view.byteOffset + at + 46 + nameLength;
    const sizes = readSizes(view, at, new DataView(view.buffer, extra, extraLength));
    if (entries.has(name)) fail(`entry ${name} appears twice`);
    entries.set(name, locate(file, name, sizes, fail));
    at = next;
  }
  return entries;
}

type Fail = (text: string) => never;

interface Directory {
  readonly count: number;
  readonly offset: number;
  readonly size: number;
}

function findDirectory(file: MappedFile, fail: Fail): Directory {
  const tail = Math.min(longestTail, file.byteLength);
  if (tail < 22) return fail("too short for a zip archive");
  const start = file.byteLength - tail;
  const bytes = file.view(start, tail);
  const view = new DataView(bytes.buffer, bytes.byteOffset, tail);
  let at = tail - 22;
  while (at >= 0 && view.getUint32(at, true) !== endRecord) at--;
  if (at < 0) return fail("no zip directory at its end");
  const plain = {
    count: view.getUint16(at + 10, true),
    size: view.getUint32(at + 12, true),
    offset: view.getUint32(at + 16, true),
  };
  if (at < 20 || view.getUint32(at - 20, true) !== end64Locator) return plain;
  const record = Number(view.getBigUint64(at - 12, true));
  if (record + 56 > file.byteLength) return fail("the zip64 directory is cut off");
  const wide = file.view(record, 56);
  const wideView = new DataView(wide.buffer, wide.byteOffset, 56);
  if (wideView.getUint32(0, true) !== end64Record) return fail("the zip64 directory is damaged");
  return {
    count: Number(wideView.getBigUint64(32, true)),
    size: Number(wideView.getBigUint64(40, true)),
    offset: Number(wideView.getBigUint64(48, true)),
  };
}

/** Size and place of the local header; zip64's extra field holds what does not fit 32 bits. */
function readSizes(view: DataView, at: number, extra: DataView): ZipEntry {
  let byteLength = view.getUint32(at + 24, true);
  let offset = view.getUint32(at + 42, true);
  for (let place = 0; place + 4 <= extra.byteLength; ) {
    const [id, length] = [extra.getUint16(place, true), extra.getUint16(place + 2, true)];
    let field = place + 4;
    if (id === 1) {
      const take = (): number => {
        if (field + 8 > extra.byteLength) return Number.POSITIVE_INFINITY;
        field += 8;
        return Number(extra.getBigUint64(field - 8, true));
      };
      if (byteLength === escaped) byteLength = take();
      if (view.getUint32(at + 20, true) === escaped) take();
      if (offset === escaped) offset = take();
    }
    place += 4 + length;
  }
  return { offset, byteLength };
}

function locate(
  file: MappedFile,
  name: string,
  { offset, byteLength }: ZipEntry,
  fail: Fail,
): ZipEntry {
  if (!(offset + 30 <= file.byteLength)) return fail(`entry ${name} lies past the end`);
  const head = file.view(offset, 30);
  const view = new DataView(head.buffer, head.byteOffset, 30);
  if (view.getUint32(0, true) !== localEntry) return fail(`entry ${name} has no header`);
  const start = offset + 30 + view.getUint16(26, true) + view.getUint16(28, true);
  if (!(start + byteLength <= file.byteLength)) return fail(`entry ${name} is cut off`);
  return { offset: start, byteLength };
}
