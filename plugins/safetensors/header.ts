// Reads and checks the header of one .safetensors file.
import { type MappedFile, WrinkleFreeError } from "../../core/index.ts";

/** Bytes of a value of each dtype, and the format that reads it. */
const dtypes: Readonly<Record<string, { bytes: number; format: string }>> = {
  F64: { bytes: 8, format: "f64" },
  F32: { bytes: 4, format: "f32" },
  F16: { bytes: 2, format: "f16" },
  BF16: { bytes: 2, format: "bf16" },
  I64: { bytes: 8, format: "i64" },
  I32: { bytes: 4, format: "i32" },
  I16: { bytes: 2, format: "i16" },
  I8: { bytes: 1, format: "i8" },
  U8: { bytes: 1, format: "u8" },
  BOOL: { bytes: 1, format: "bool" },
  F8_E4M3: { bytes: 1, format: "f8_e4m3" },
  F8_E5M2: { bytes: 1, format: "f8_e5m2" },
};

const longestHeader = 100_000_000;
const mostDimensions = 8;

export interface HeaderEntry {
  readonly name: string;
  readonly dtype: string;
  readonly format: string;
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** Tensors of `file`, checked: known dtypes, sizes that agree, no overlap, nothing past the end. */
export function readHeader(file: MappedFile): HeaderEntry[] {
  const fail = (text: string, tensor?: string): never => {
    throw new WrinkleFreeError(
      "bad_file",
      `${file.path}: ${tensor ? `tensor ${tensor} ` : ""}${text}`,
      {
        file: file.path,
        tensor,
        hint: "The file is truncated or damaged: download it again.",
      },
    );
  };
  if (file.byteLength < 10) fail(`${file.byteLength} bytes are no safetensors file`);
  const head = file.view(0, 8);
  const length = Number(new DataView(head.buffer, head.byteOffset, 8).getBigUint64(0, true));
  if (length < 2 || length > longestHeader || length > file.byteLength - 8) {
    fail(`the header is said to take ${length} bytes of a file of ${file.byteLength}`);
  }
  const start = 8 + length;
  const tensors: HeaderEntry[] = [];
  for (const [name, entry] of Object.entries(parseHeader(file, length, fail))) {
    if (name === "__metadata__") continue;
    tensors.push(checkEntry(name, entry, start, file.byteLength - start, fail));
  }
  const byOffset = [...tensors].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  // As the format wants it, the tensors cover all of the data: nothing can hide between them.
  let end = start;
  let before = "the header";
  for (const { name, offset, byteLength } of byOffset) {
    if (offset < end) fail(`overlaps ${before}`, name);
    if (offset > end) fail(`leaves ${offset - end} bytes unused behind ${before}`, name);
    end = offset + byteLength;
    before = name;
  }
  if (end < file.byteLength) fail(`${file.byteLength - end} bytes belong to no tensor`);
  return tensors;
}

type Fail = (text: string, tensor?: string) => never;

function parseHeader(file: MappedFile, length: number, fail: Fail): Record<string, unknown> {
  let header: unknown;
  let text = "";
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(file.view(8, length));
    header = JSON.parse(text);
  } catch (cause) {
    return fail(`the header is not JSON: ${(cause as Error).message}`);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    return fail("the header is not a JSON object");
  }
  if (text[0] !== "{") return fail("the header does not begin with {");
  if (countMembers(text) !== Object.keys(header).length) fail("a tensor is named twice");
  return header as Record<string, unknown>;
}

/** Members of the outermost object, those of one name too: JSON.parse keeps the last of them only. */
function countMembers(text: string): number {
  let depth = 0;
  let members = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (inString) {
      if (unit === 0x5c) i++;
      else if (unit === 0x22) inString = false;
    } else if (unit === 0x22) inString = true;
    else if (unit === 0x7b || unit === 0x5b) depth++;
    else if (unit === 0x7d || unit === 0x5d) depth--;
    else if (unit === 0x3a && depth === 1) members++;
  }
  return members;
}

function checkEntry(
  name: string,
  entry: unknown,
  start: number,
  dataLength: number,
  fail: Fail,
): HeaderEntry {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
  const type = typeof dtype === "string" ? dtypes[dtype] : undefined;
  if (!type) return fail(`has the unknown dtype ${dtype}`, name);
  const sized = (value: unknown): value is number =>
    Number.isSafeInteger(value) && Number(value) >= 0;
  if (!Array.isArray(shape) || shape.length > mostDimensions || !shape.every(sized)) {
    return fail("has no proper shape", name);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(sized)) {
    return fail("has no proper data_offsets", name);
  }
  const [from, to] = offsets as [number, number];
  if (from > to || to > dataLength) {
    return fail(
      `lies at bytes ${from}..${to}, but the data has ${dataLength}: it is cut off`,
      name,
    );
  }
  const bytes = shape.reduce((product: number, size: number) => product * size, type.bytes);
  if (bytes !== to - from) {
    return fail(`${dtype} [${shape}] needs ${bytes} bytes, data_offsets give ${to - from}`, name);
  }
  return {
    name,
    dtype: dtype as string,
    format: type.format,
    shape,
    offset: start + from,
    byteLength: bytes,
  };
}
