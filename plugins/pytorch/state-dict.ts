// The tensors of a torch.save archive: where each lies in the file, nothing executed.
import { inFile, type MappedFile, type StoredTensor, WrinkleFreeError } from "../../core/index.ts";
import { type Allowed, type Pickled, unpickle } from "./unpickle.ts";
import { readZip, type ZipEntry } from "./zip.ts";

/** Bytes of an element and format of each storage class of torch. */
const storages: Readonly<Record<string, readonly [bytes: number, format: string]>> = {
  DoubleStorage: [8, "f64"],
  FloatStorage: [4, "f32"],
  HalfStorage: [2, "f16"],
  BFloat16Storage: [2, "bf16"],
  LongStorage: [8, "i64"],
  IntStorage: [4, "i32"],
  ShortStorage: [2, "i16"],
  CharStorage: [1, "i8"],
  ByteStorage: [1, "u8"],
  BoolStorage: [1, "bool"],
};

class Global {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

class Storage {
  readonly format: string;
  readonly elementBytes: number;
  readonly entry: ZipEntry;
  constructor(format: string, elementBytes: number, entry: ZipEntry) {
    this.format = format;
    this.elementBytes = elementBytes;
    this.entry = entry;
  }
}

class Tensor {
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  constructor(
    storage: Storage,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** Names that a state dict may mention; everything else is refused. */
const callable = new Set([
  "collections.OrderedDict",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_parameter",
  "torch.Size",
  "torch.device",
  "builtins.set",
  "__builtin__.set",
]);
const value = /^torch\.(\w+Storage|float\d+|bfloat16|u?int\d+|bool|float|half|double|long)$/;

export interface StateDict {
  readonly tensors: Map<string, StoredTensor>;
  /** Plain entries beside the tensors (step counts, quantization warm-up...). */
  readonly extra: ReadonlyMap<string, Pickled>;
}

/** Reads the archive of `file`. Throws `bad_file` or `unsupported` naming file and tensor. */
export function readStateDict(file: MappedFile): StateDict {
  const entries = readZip(file);
  const pickle = [...entries].find(([name]) => name.endsWith("/data.pkl"));
  if (!pickle) throw broken(file, "a zip archive without data.pkl is not torch.save's");
  const [name, place] = pickle;
  const folder = name.slice(0, -"data.pkl".length);
  const order = entries.get(`${folder}byteorder`);
  if (order && Buffer.from(file.view(order.offset, order.byteLength)).toString() === "big") {
    throw new WrinkleFreeError("unsupported", `${file.path}: big-endian tensors`, {
      file: file.path,
    });
  }
  const root = readRoot(file, file.view(place.offset, place.byteLength), folder, entries);
  return collect(file, root);
}

function broken(file: MappedFile, text: string, tensor?: string): WrinkleFreeError {
  return new WrinkleFreeError("bad_file", `${file.path}: ${text}`, { file: file.path, tensor });
}

function readRoot(
  file: MappedFile,
  bytes: Uint8Array,
  folder: string,
  entries: ReadonlyMap<string, ZipEntry>,
): Pickled {
  const allowed: Allowed = {
    global: (name) => (callable.has(name) || value.test(name) ? new Global(name) : undefined),
    call,
    persistent(id) {
      const [kind, type, key, , count] = Array.isArray(id) ? (id as Pickled[]) : [];
      const name = type instanceof Global ? type.name.replace("torch.", "") : "";
      const [elementBytes, format] = storages[name] ?? [];
      const entry = entries.get(`${folder}data/${key}`);
      if (kind !== "storage" || !elementBytes || !format)
        throw broken(file, `storage ${key} is of an unknown kind`);
      if (!entry) throw broken(file, `storage ${key} is missing: the file is cut off`);
      if (typeof count !== "number" || count * elementBytes > entry.byteLength) {
        throw broken(file, `storage ${key} has ${entry.byteLength} bytes for ${count} elements`);
      }
      return new Storage(format, elementBytes, entry);
    },
  };
  return inFile(file.path, () => unpickle(bytes, allowed));
}

function call(target: Pickled, args: readonly Pickled[]): Pickled | undefined {
  if (!(target instanceof Global)) return undefined;
  switch (target.name) {
    case "collections.OrderedDict":
      return new Map();
    case "torch._utils._rebuild_tensor_v2": {
      const [storage, offset, shape, strides] = args;
      const whole = (list: unknown): list is number[] =>
        Array.isArray(list) && list.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
      if (!(storage instanceof Storage) || !whole([offset]) || !whole(shape) || !whole(strides)) {
        return undefined;
      }
      return new Tensor(storage, offset as number, shape, strides);
    }
    case "torch._utils._rebuild_parameter":
      return args[0] instanceof Tensor ? args[0] : undefined;
    case "torch.Size":
    case "builtins.set":
    case "__builtin__.set":
      return args[0] ?? [];
    case "torch.device":
      return String(args[0]);
    default:
      return undefined;
  }
}

/** Where training scripts keep the model's tensors. */
const wrappers = ["model_state_dict", "state_dict", "model", "module"];

function collect(file: MappedFile, root: Pickled): StateDict {
  if (!(root instanceof Map)) throw broken(file, "it holds no dictionary of tensors");
  let tensors: Map<Pickled, Pickled> = root;
  for (const key of wrappers) {
    const inner = tensors.get(key);
    if (inner instanceof Map) tensors = inner;
  }
  const found = new Map<string, StoredTensor>();
  const extra = new Map<string, Pickled>();
  for (const [name, entry] of tensors) {
    if (typeof name !== "string") throw broken(file, "a tensor has no name");
    if (entry instanceof Tensor) found.set(name, place(file, name, entry));
    else extra.set(name, entry);
  }
  for (const [name, entry] of root) if (typeof name === "string") extra.set(name, entry);
  if (found.size === 0) throw broken(file, "it holds no tensors");
  return { tensors: found, extra };
}

function place(
  file: MappedFile,
  name: string,
  { storage, offset, shape, strides }: Tensor,
): StoredTensor {
  const { elementBytes, entry, format } = storage;
  let count = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== count) {
      throw new WrinkleFreeError("unsupported", `${file.path}: tensor ${name} is not contiguous`, {
        file: file.path,
        tensor: name,
        hint: "Save it again after tensor.contiguous().",
      });
    }
    count *= shape[i] as number;
  }
  const byteLength = count * elementBytes;
  if (offset * elementBytes + byteLength > entry.byteLength) {
    throw broken(file, `tensor ${name} [${shape}] does not fit its storage`, name);
  }
  return { name, format, shape, file, offset: entry.offset + offset * elementBytes, byteLength };
}
