// Walks string arrays that lie packed in a file, checking every length.
import { WrinkleFreeError } from "../errors.ts";
import type { MetadataValue, PackedStrings, TokenizerSource } from "../plugin/loader.ts";

export type GgufSource = Extract<TokenizerSource, { kind: "gguf" }>;

/** The array of a key: as the file has it, or packed from its JavaScript strings. */
export function packedStrings(source: GgufSource, key: string): PackedStrings {
  const packed = source.strings?.(key);
  if (packed !== undefined) return packed;
  const list: MetadataValue | undefined = source.metadata[key];
  if (!Array.isArray(list) || (list.length > 0 && typeof list[0] !== "string")) {
    const text = `${key} is missing or not a list of strings`;
    throw new WrinkleFreeError("bad_file", text, { field: key });
  }
  return pack(list as readonly string[]);
}

/** JavaScript strings in the form that files have them. */
export function pack(strings: readonly string[]): PackedStrings {
  let most = 0;
  for (const string of strings) most += 8 + 3 * string.length;
  const bytes = Buffer.alloc(most);
  let at = 0;
  for (const string of strings) {
    const written = bytes.write(string, at + 8);
    bytes.writeUInt32LE(written, at);
    at += 8 + written;
  }
  return { bytes: bytes.subarray(0, at), count: strings.length };
}

/** Calls `visit` with the first and the end position of each string. Throws `bad_file`. */
export function eachString(
  { bytes, count }: PackedStrings,
  key: string,
  visit: (start: number, end: number, index: number) => void,
): void {
  let at = 0;
  for (let index = 0; index < count; index++) {
    const start = at + 8;
    const high = bytes[at + 3]! | bytes[at + 4]! | bytes[at + 5]! | bytes[at + 6]! | bytes[at + 7]!;
    const end = start + (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16));
    // No string of a vocabulary has 16 MB.
    if (start > bytes.length || high !== 0 || end > bytes.length) {
      throw new WrinkleFreeError("bad_file", `${key}: string ${index} is cut off`, { field: key });
    }
    visit(start, end, index);
    at = end;
  }
}
