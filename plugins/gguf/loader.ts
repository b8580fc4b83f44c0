// Opens GGUF v2 and v3 files from the map: header, key-value pairs, tensor places. Decodes nothing.
import {
  type Loader,
  type MappedFile,
  type MetadataValue,
  type ModelFile,
  mapFile,
  type PackedStrings,
  type TensorInfo,
  WrinkleFreeError,
} from "../../core/index.ts";
import { Cursor } from "./cursor.ts";
import { type Metadata, readMetadata } from "./metadata.ts";
import { findTiles } from "./presets.ts";
import { type Encoding, encodingOf, product } from "./types.ts";

const magic = 0x46554747;
const mostDimensions = 4;
const longestName = 256;

/** A GGUF file, with what a writer needs besides a ModelFile. */
export interface GgufFile extends ModelFile {
  readonly version: number;
  readonly metadataTypes: ReadonlyMap<string, number>;
}

/** A tensor as the header states it. */
interface RawTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: number;
  /** From the start of the data section. */
  readonly offset: number;
}

export const ggufLoader: Loader = {
  name: "gguf",
  accepts: (path, head) =>
    path.endsWith(".gguf") ||
    (head.length >= 4 && new DataView(head.buffer, head.byteOffset).getUint32(0, true) === magic),
  open: async (path) => openGguf(path),
};

/** Opens `path`. Throws `not_found`, `bad_file` (file, tensor or key named) or `unsupported`. */
export function openGguf(path: string): GgufFile {
  const file = mapFile(path);
  try {
    return readGguf(file);
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/** The GGUF file in `file`, which it owns from then on. Throws `bad_file` or `unsupported`. */
export function readGguf(file: MappedFile): GgufFile {
  const cursor = new Cursor(file);
  const version = readVersion(cursor);
  const tensorCount = cursor.count("tensor count");
  const pairCount = cursor.count("key count");
  // The least bytes that a pair (key, type, value) and a tensor take.
  cursor.need(13 * pairCount + 24 * tensorCount, `${pairCount} keys and ${tensorCount} tensors`);
  const metadata = readMetadata(cursor, file, pairCount);
  const alignment = readAlignment(cursor, metadata.values);
  const raw: RawTensor[] = [];
  for (let i = 0; i < tensorCount; i++) raw.push(readTensor(cursor, i));
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  const tensors = placeTensors(file, metadata, raw, dataStart, alignment);
  return new GgufModelFile(file, version, metadata, tensors);
}

function readVersion(cursor: Cursor): number {
  if (cursor.length < 24 || cursor.u32("magic") !== magic) {
    throw cursor.error("not a GGUF file: it does not begin with the letters GGUF");
  }
  const version = cursor.u32("version");
  if (version === 2 || version === 3) return version;
  const swapped = version === 0x02000000 || version === 0x03000000;
  throw new WrinkleFreeError(
    "unsupported",
    swapped
      ? `${cursor.path}: a big-endian GGUF file`
      : `${cursor.path}: GGUF version ${version}; 2 and 3 are read`,
    { file: cursor.path, hint: "Convert the model again with a current converter." },
  );
}

function readAlignment(cursor: Cursor, values: Readonly<Record<string, MetadataValue>>): number {
  const alignment = values["general.alignment"] ?? 32;
  const fine =
    typeof alignment === "number" &&
    alignment >= 8 &&
    alignment <= 1 << 20 &&
    (alignment & (alignment - 1)) === 0;
  if (fine) return alignment;
  throw cursor.error(`general.alignment is ${alignment}, no power of two from 8 to 1048576`);
}

function readTensor(cursor: Cursor, index: number): RawTensor {
  const name = cursor.string(`name of tensor ${index}`, longestName);
  if (name.length === 0) throw cursor.error(`tensor ${index} has no name`);
  const dimensions = cursor.u32(name);
  if (dimensions < 1 || dimensions > mostDimensions) {
    throw cursor.error(`tensor ${name} has ${dimensions} dimensions, not 1..${mostDimensions}`);
  }
  const shape: number[] = [];
  for (let i = 0; i < dimensions; i++) {
    const size = cursor.u64(name);
    if (typeof size !== "number" || size < 1) {
      throw cursor.error(`tensor ${name} has a dimension of ${size}`);
    }
    shape.unshift(size);
  }
  if (product(shape) > Number.MAX_SAFE_INTEGER) {
    throw cursor.error(`tensor ${name} has shape [${shape}], more values than any file holds`);
  }
  const type = cursor.u32(name);
  return { name, shape, type, offset: cursor.count(`offset of ${name}`) };
}

/** Checks places and sizes; tensors must lie in the file, aligned, each for itself. */
function placeTensors(
  file: MappedFile,
  metadata: Metadata,
  raw: readonly RawTensor[],
  dataStart: number,
  alignment: number,
): Map<string, TensorInfo> {
  const fail = (tensor: string, text: string): never => {
    throw new WrinkleFreeError("bad_file", `${file.path}: tensor ${tensor} ${text}`, {
      file: file.path,
      tensor,
      hint: "The file is truncated or damaged: download or convert it again.",
    });
  };
  const dataLength = Math.max(0, file.byteLength - dataStart);
  const byOffset = [...raw].sort((a, b) => a.offset - b.offset);
  const tensors = new Map<string, TensorInfo>();
  const own = ownFormats(file.path, metadata.values);
  for (const { name, offset } of raw) {
    if (offset % alignment !== 0) fail(name, `starts at ${offset}, no multiple of ${alignment}`);
  }
  for (const [index, tensor] of byOffset.entries()) {
    const { name, shape, type, offset } = tensor;
    if (tensors.has(name)) fail(name, "appears twice");
    const end = byOffset[index + 1]?.offset ?? dataLength;
    const span = end - offset;
    let encoding: Encoding;
    try {
      encoding = own[name]
        ? { format: own[name].format, byteLength: product(shape) }
        : encodingOf(type, shape, span, alignment);
    } catch (error) {
      return fail(name, error instanceof Error ? error.message : String(error));
    }
    if (span <= 0) fail(name, "has no bytes: it is cut off, or starts where another one does");
    if (encoding.byteLength > span) {
      const where =
        index + 1 < byOffset.length ? `overlaps ${byOffset[index + 1]?.name}` : "is cut off";
      fail(
        name,
        `${where}: ${encoding.format} [${shape}] needs ${encoding.byteLength} bytes, has ${span}`,
      );
    }
    const logical = own[name]?.shape ?? shape;
    const tiles = findTiles(encoding.format, name, logical, metadata.values);
    const parameters = own[name]?.parameters ?? tiles;
    const address = file.address + dataStart + offset;
    tensors.set(name, {
      name,
      shape: logical,
      ...encoding,
      address,
      ...(parameters && { parameters }),
    });
  }
  // The header's order, which converters keep meaningful.
  return new Map(raw.map(({ name }) => [name, tensors.get(name) as TensorInfo]));
}

export interface OwnFormat {
  readonly format: string;
  readonly shape: readonly number[];
  readonly parameters?: Readonly<Record<string, number>>;
}

/** Key of the JSON that names formats without a ggml type: their tensors are stored as bytes (i8). */
export const ownFormatsKey = "wrinklefree.formats";

function ownFormats(
  path: string,
  values: Readonly<Record<string, MetadataValue>>,
): Record<string, OwnFormat | undefined> {
  const text = values[ownFormatsKey];
  if (text === undefined) return {};
  try {
    const parsed = JSON.parse(String(text));
    for (const entry of Object.values(parsed) as OwnFormat[]) {
      const sizes =
        Array.isArray(entry.shape) && entry.shape.every((n) => Number.isSafeInteger(n) && n > 0);
      if (typeof entry.format !== "string" || !sizes) throw new Error("format or shape is wrong");
    }
    return Object.assign(Object.create(null), parsed);
  } catch (cause) {
    throw new WrinkleFreeError(
      "bad_file",
      `${path}: ${ownFormatsKey} is damaged: ${(cause as Error).message}`,
      {
        file: path,
        field: ownFormatsKey,
        cause,
      },
    );
  }
}

class GgufModelFile implements GgufFile {
  readonly kind = "gguf";
  readonly path: string;
  readonly version: number;
  readonly metadata: Readonly<Record<string, MetadataValue>>;
  readonly metadataTypes: ReadonlyMap<string, number>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #file: MappedFile;
  readonly #strings: Metadata["strings"];

  constructor(
    file: MappedFile,
    version: number,
    metadata: Metadata,
    tensors: ReadonlyMap<string, TensorInfo>,
  ) {
    this.#file = file;
    this.path = file.path;
    this.version = version;
    this.#strings = metadata.strings;
    this.metadata = metadata.values;
    this.metadataTypes = metadata.types;
    this.tensors = tensors;
  }

  get tokenizer(): ModelFile["tokenizer"] {
    if (!("tokenizer.ggml.model" in this.metadata)) return undefined;
    const strings = (key: string): PackedStrings | undefined => {
      const place = this.#strings.get(key);
      if (!place) return undefined;
      return { bytes: this.#file.view(place.start, place.byteLength), count: place.count };
    };
    return { kind: "gguf", metadata: this.metadata, strings };
  }

  get chatTemplate(): string | undefined {
    const template = this.metadata["tokenizer.chat_template"];
    return typeof template === "string" ? template : undefined;
  }

  bytes(name: string): Uint8Array {
    const info = this.tensors.get(name);
    if (!info) {
      throw new WrinkleFreeError("not_found", `${this.path}: no tensor ${name}`, {
        file: this.path,
        tensor: name,
      });
    }
    return this.#file.view(info.address - this.#file.address, info.byteLength);
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}
