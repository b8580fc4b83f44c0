// Writes and reads native structs by the layout tables that are generated from abi.zig.

export interface Field {
  readonly offset: number;
  readonly bytes: number;
  readonly type: string;
}

export interface Layout {
  readonly size: number;
  readonly fields: Readonly<Record<string, Field>>;
}

/** Values by field name. Addresses are plain numbers (below 2^53). */
export type StructValues<L extends Layout> = { readonly [K in keyof L["fields"]]?: number };

/**
 * Writes a struct at byte `offset` of `view`. A field that is left out is written as zero, which the
 * contract always reads as "none" or "default"; so a struct may gain fields at its end. Throws a
 * RangeError for an unknown field and for a value that its type cannot hold.
 */
export function writeStruct<L extends Layout>(
  view: DataView,
  offset: number,
  layout: L,
  values: StructValues<L>,
): void {
  new Uint8Array(view.buffer, view.byteOffset + offset, layout.size).fill(0);
  for (const [name, value] of Object.entries(values)) {
    const field = layout.fields[name];
    if (field === undefined) throw new RangeError(`struct has no field ${name}`);
    if (value === undefined) continue;
    writeField(view, offset + field.offset, name, field, value as number);
  }
}

/** Reads a struct back; byte arrays are left out. */
export function readStruct<L extends Layout>(
  view: DataView,
  offset: number,
  layout: L,
): { [K in keyof L["fields"]]: number } {
  const values: Record<string, number> = {};
  for (const [name, field] of Object.entries(layout.fields)) {
    if (field.type !== "bytes") values[name] = readField(view, offset + field.offset, field);
  }
  return values as { [K in keyof L["fields"]]: number };
}

function writeField(view: DataView, at: number, name: string, field: Field, value: number): void {
  const integer = field.type[0] !== "f";
  if (typeof value !== "number" || (integer && !Number.isSafeInteger(value))) {
    throw new RangeError(`field ${name}: ${value} is not a ${field.type}`);
  }
  if (integer && !(value >= minimum(field) && value <= maximum(field))) {
    throw new RangeError(`field ${name}: ${value} is out of the range of ${field.type}`);
  }
  if (field.type === "u32") view.setUint32(at, value, true);
  else if (field.type === "i32") view.setInt32(at, value, true);
  else if (field.type === "u64") view.setBigUint64(at, BigInt(value), true);
  else if (field.type === "i64") view.setBigInt64(at, BigInt(value), true);
  else if (field.type === "f32") view.setFloat32(at, value, true);
  else if (field.type === "f64") view.setFloat64(at, value, true);
  else throw new RangeError(`field ${name}: a ${field.type} field cannot be written`);
}

function readField(view: DataView, at: number, field: Field): number {
  if (field.type === "u32") return view.getUint32(at, true);
  if (field.type === "i32") return view.getInt32(at, true);
  if (field.type === "u64") return Number(view.getBigUint64(at, true));
  if (field.type === "i64") return Number(view.getBigInt64(at, true));
  return field.type === "f32" ? view.getFloat32(at, true) : view.getFloat64(at, true);
}

function minimum(field: Field): number {
  if (field.type[0] === "u") return 0;
  return field.bytes === 4 ? -(2 ** 31) : Number.MIN_SAFE_INTEGER;
}

function maximum(field: Field): number {
  if (field.bytes === 8) return Number.MAX_SAFE_INTEGER;
  return field.type[0] === "u" ? 2 ** 32 - 1 : 2 ** 31 - 1;
}
