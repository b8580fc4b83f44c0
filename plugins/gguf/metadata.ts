// Reads GGUF key-value pairs; large string arrays are decoded only when first asked for.
import type { MappedFile, MetadataValue } from "../../core/index.ts";
import { Cursor } from "./cursor.ts";

/** GGUF's value types, by id. */
export const valueType = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

const byteSizes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
const longestKey = 65535;

export interface Metadata {
  readonly values: Readonly<Record<string, MetadataValue>>;
  /** Value type of each key; 256 + element type for an array. */
  readonly types: ReadonlyMap<string, number>;
  /** Where string arrays lie in the file. */
  readonly strings: ReadonlyMap<string, StringsPlace>;
}

interface StringsPlace {
  readonly start: number;
  readonly byteLength: number;
  readonly count: number;
}

/** Reads `count` pairs at the cursor. Throws `bad_file` naming the key. */
export function readMetadata(cursor: Cursor, file: MappedFile, count: number): Metadata {
  const values: Record<string, MetadataValue> = Object.create(null);
  const types = new Map<string, number>();
  const strings = new Map<string, StringsPlace>();
  for (let i = 0; i < count; i++) {
    const key = cursor.string(`key ${i}`, longestKey);
    if (key.length === 0) throw cursor.error(`key ${i} has no characters`);
    if (types.has(key)) throw cursor.error(`key ${key} appears twice`, key);
    const type = cursor.u32(key);
    if (type === valueType.array) {
      types.set(key, 256 + readArray(cursor, file, key, values, strings));
    } else {
      types.set(key, type);
      values[key] = readScalar(cursor, type, key);
    }
  }
  return { values, types, strings };
}

function readScalar(cursor: Cursor, type: number, key: string): MetadataValue {
  switch (type) {
    case valueType.u8:
      return cursor.u8(key);
    case valueType.i8:
      return cursor.i8(key);
    case valueType.u16:
      return cursor.u16(key);
    case valueType.i16:
      return cursor.i16(key);
    case valueType.u32:
      return cursor.u32(key);
    case valueType.i32:
      return cursor.i32(key);
    case valueType.f32:
      return cursor.f32(key);
    case valueType.bool:
      return cursor.u8(key) !== 0;
    case valueType.string:
      return cursor.string(key);
    case valueType.u64:
      return cursor.u64(key);
    case valueType.i64:
      return cursor.i64(key);
    case valueType.f64:
      return cursor.f64(key);
    default:
      throw cursor.error(`key ${key} has the unknown value type ${type}`, key);
  }
}

/** Reads or defers an array; returns its element type. */
function readArray(
  cursor: Cursor,
  file: MappedFile,
  key: string,
  values: Record<string, MetadataValue>,
  strings: Map<string, StringsPlace>,
): number {
  const type = cursor.u32(key);
  const count = cursor.count(key);
  if (type === valueType.string) {
    const start = cursor.position;
    for (let i = 0; i < count; i++) cursor.skipString(key);
    strings.set(key, { start, byteLength: cursor.position - start, count });
    defer(values, key, () => readStrings(file, start, count, key));
    return type;
  }
  const size = byteSizes[type];
  if (!size) throw cursor.error(`key ${key} is an array of the unsupported type ${type}`, key);
  cursor.need(count * size, key);
  if (type === valueType.f32) values[key] = new Float32Array(cursor.copy(4 * count, key));
  else if (type === valueType.i32) values[key] = new Int32Array(cursor.copy(4 * count, key));
  else {
    const list: MetadataValue[] = [];
    for (let i = 0; i < count; i++) list.push(readScalar(cursor, type, key));
    values[key] = (type === valueType.u64 || type === valueType.i64 ? list.map(Number) : list) as
      | number[]
      | boolean[];
  }
  return type;
}

function readStrings(file: MappedFile, start: number, count: number, key: string): string[] {
  const cursor = new Cursor(file);
  cursor.position = start;
  const strings = new Array<string>(count);
  for (let i = 0; i < count; i++) strings[i] = cursor.string(key);
  return strings;
}

/** A property that computes its value at the first read. */
function defer<T>(target: Record<string, T>, key: string, compute: () => T): void {
  Object.defineProperty(target, key, {
    enumerable: true,
    configurable: true,
    get() {
      const value = compute();
      Object.defineProperty(target, key, { value, enumerable: true });
      return value;
    },
  });
}
