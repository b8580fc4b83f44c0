// Encodes GGUF's header: key-value pairs and tensor descriptions.
import { type MetadataValue, WrinkleFreeError } from "../../core/index.ts";
import { valueType } from "./metadata.ts";

/** A tensor of a file to be written. `shape` is row-major, outermost first. */
export interface TensorPlan {
  readonly name: string;
  readonly shape: readonly number[];
  /** ggml type id. */
  readonly type: number;
  readonly byteLength: number;
}

/** Keys whose values are float32 although they may be whole numbers. */
const floatKeys =
  /(freq_base|epsilon|_scale|scaling\.(factor|attn_factor|\w+_freq_factor|yarn_\w+))$/;

/** Collects little-endian bytes. */
class Sink {
  readonly chunks: Uint8Array[] = [];
  length = 0;

  bytes(bytes: Uint8Array): void {
    this.chunks.push(bytes);
    this.length += bytes.byteLength;
  }

  number(size: number, set: (view: DataView) => void): void {
    const bytes = new Uint8Array(size);
    set(new DataView(bytes.buffer));
    this.bytes(bytes);
  }

  u32 = (value: number): void => this.number(4, (view) => view.setUint32(0, value, true));
  u64 = (value: number | bigint): void =>
    this.number(8, (view) => view.setBigUint64(0, BigInt(value), true));

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.byteLength);
    this.bytes(bytes);
  }
}

/** The GGUF v3 header, padded to `alignment`; tensor data follows at once. */
export function encodeHeader(
  metadata: Readonly<Record<string, MetadataValue>>,
  tensors: readonly TensorPlan[],
  alignment: number,
  types: ReadonlyMap<string, number> = new Map(),
): Uint8Array {
  const sink = new Sink();
  const entries = Object.entries(metadata).filter(([, value]) => value !== undefined);
  sink.bytes(new TextEncoder().encode("GGUF"));
  sink.u32(3);
  sink.u64(tensors.length);
  sink.u64(entries.length);
  for (const [key, value] of entries) {
    sink.string(key);
    writeValue(sink, key, value, types.get(key));
  }
  let offset = 0;
  for (const tensor of tensors) {
    sink.string(tensor.name);
    sink.u32(tensor.shape.length);
    for (const size of [...tensor.shape].reverse()) sink.u64(size);
    sink.u32(tensor.type);
    sink.u64(offset);
    offset += padded(tensor.byteLength, alignment);
  }
  sink.bytes(new Uint8Array(padded(sink.length, alignment) - sink.length));
  return Buffer.concat(sink.chunks);
}

export function padded(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

/** Type of a value where the caller states none: the one that llama.cpp's readers expect. */
function scalarType(key: string, value: MetadataValue): number {
  if (typeof value === "string") return valueType.string;
  if (typeof value === "boolean") return valueType.bool;
  if (typeof value === "bigint") return value < 0n ? valueType.i64 : valueType.u64;
  if (typeof value === "number") {
    if (floatKeys.test(key) || !Number.isInteger(value)) return valueType.f32;
    if (value < 0) return valueType.i32;
    return value > 0xffffffff ? valueType.u64 : valueType.u32;
  }
  return valueType.array;
}

function elementType(key: string, values: readonly unknown[]): number {
  if (values.every((value) => typeof value === "string")) return valueType.string;
  if (values.every((value) => typeof value === "boolean")) return valueType.bool;
  if (values.every((value) => Number.isInteger(value))) return valueType.i32;
  if (values.every((value) => typeof value === "number")) return valueType.f32;
  throw new WrinkleFreeError("internal", `metadata ${key}: an array of mixed types`);
}

function writeValue(sink: Sink, key: string, value: MetadataValue, stated?: number): void {
  const scalar = scalarType(key, value);
  if (scalar !== valueType.array) {
    const type = stated !== undefined && stated < 256 ? stated : scalar;
    sink.u32(type);
    writeScalar(sink, type, value as string | number | bigint | boolean);
    return;
  }
  sink.u32(valueType.array);
  const values = value as ArrayLike<string | number | boolean>;
  let type = stated !== undefined && stated >= 256 ? stated - 256 : -1;
  if (value instanceof Float32Array) type = valueType.f32;
  else if (value instanceof Int32Array) type = valueType.i32;
  else if (type < 0) type = elementType(key, value as readonly unknown[]);
  sink.u32(type);
  sink.u64(values.length);
  if (value instanceof Float32Array || value instanceof Int32Array) {
    sink.bytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    return;
  }
  for (let i = 0; i < values.length; i++) {
    writeScalar(sink, type, values[i] as string | number | boolean);
  }
}

/** Bytes and DataView setter of the numeric types; bool and string are apart. */
const numeric: Readonly<
  Record<number, readonly [number, (view: DataView, value: number) => void]>
> = {
  [valueType.u8]: [1, (view, value) => view.setUint8(0, value)],
  [valueType.i8]: [1, (view, value) => view.setInt8(0, value)],
  [valueType.u16]: [2, (view, value) => view.setUint16(0, value, true)],
  [valueType.i16]: [2, (view, value) => view.setInt16(0, value, true)],
  [valueType.u32]: [4, (view, value) => view.setUint32(0, value, true)],
  [valueType.i32]: [4, (view, value) => view.setInt32(0, value, true)],
  [valueType.f32]: [4, (view, value) => view.setFloat32(0, value, true)],
  [valueType.f64]: [8, (view, value) => view.setFloat64(0, value, true)],
};

function writeScalar(sink: Sink, type: number, value: string | number | bigint | boolean): void {
  const number = numeric[type];
  if (number) sink.number(number[0], (view) => number[1](view, Number(value)));
  else if (type === valueType.string) sink.string(String(value));
  else if (type === valueType.bool) sink.number(1, (view) => view.setUint8(0, value ? 1 : 0));
  else if (type === valueType.i64) {
    sink.number(8, (view) => view.setBigInt64(0, BigInt(value), true));
  } else sink.u64(BigInt(value));
}
