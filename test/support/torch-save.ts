// Writes what torch.save writes: a zip of a protocol-2 pickle and the storages, for tests.

export interface SavedTensor {
  readonly storage: "FloatStorage" | "BFloat16Storage" | "HalfStorage" | "ByteStorage";
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

const elementBytes = { FloatStorage: 4, BFloat16Storage: 2, HalfStorage: 2, ByteStorage: 1 };

/** Nested dictionaries of tensors, numbers and strings. */
export type Saved = SavedTensor | number | string | { readonly [key: string]: Saved };

/** The bytes of a .pt file. */
export function torchSave(root: { readonly [key: string]: Saved }): Buffer {
  const storages: Uint8Array[] = [];
  const pickle = [Buffer.from([0x80, 2]), ...encode(root, storages), Buffer.from(".")];
  const files: [string, Uint8Array][] = [["archive/data.pkl", Buffer.concat(pickle)]];
  for (const [i, bytes] of storages.entries()) files.push([`archive/data/${i}`, bytes]);
  return zip(files);
}

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  const head = Buffer.from([0x58, 0, 0, 0, 0]);
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
};
const int = (value: number): Buffer => {
  const bytes = Buffer.from([0x4a, 0, 0, 0, 0]);
  bytes.writeInt32LE(value, 1);
  return bytes;
};
const float = (value: number): Buffer => {
  const bytes = Buffer.alloc(9);
  bytes[0] = 0x47;
  bytes.writeDoubleBE(value, 1);
  return bytes;
};
const tuple = (items: readonly Buffer[]): Buffer =>
  Buffer.concat([Buffer.from("("), ...items, Buffer.from("t")]);
const global = (module: string, name: string): Buffer => Buffer.from(`c${module}\n${name}\n`);

function encode(value: Saved, storages: Uint8Array[]): Buffer[] {
  if (typeof value === "number") return [Number.isInteger(value) ? int(value) : float(value)];
  if (typeof value === "string") return [text(value)];
  if ("bytes" in value && value.bytes instanceof Uint8Array) {
    return [tensor(value as SavedTensor, storages)];
  }
  const items = Object.entries(value as { readonly [key: string]: Saved }).flatMap(
    ([key, item]) => [text(key), ...encode(item, storages)],
  );
  return [Buffer.from("}("), ...items, Buffer.from("u")];
}

function tensor({ storage, shape, bytes }: SavedTensor, storages: Uint8Array[]): Buffer {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const id = tuple([
    text("storage"),
    global("torch", storage),
    text(String(storages.length)),
    text("cpu"),
    int(bytes.byteLength / elementBytes[storage]),
  ]);
  storages.push(bytes);
  const args = tuple([
    Buffer.concat([id, Buffer.from("Q")]),
    int(0),
    tuple(shape.map(int)),
    tuple(strides.map(int)),
    Buffer.from([0x89]),
    Buffer.from("}"),
  ]);
  return Buffer.concat([global("torch._utils", "_rebuild_tensor_v2"), args, Buffer.from("R")]);
}

/** An uncompressed archive; checksums are left 0, as nothing here reads them. */
function zip(files: readonly [string, Uint8Array][]): Buffer {
  const parts: Uint8Array[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const [name, bytes] of files) {
    const label = Buffer.from(name);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt32LE(bytes.byteLength, 18);
    local.writeUInt32LE(bytes.byteLength, 22);
    local.writeUInt16LE(label.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt32LE(bytes.byteLength, 20);
    entry.writeUInt32LE(bytes.byteLength, 24);
    entry.writeUInt16LE(label.length, 28);
    entry.writeUInt32LE(offset, 42);
    central.push(entry, label);
    parts.push(local, label, bytes);
    offset += 30 + label.length + bytes.byteLength;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, directory, end]);
}
