// Opens SGLang-BitNet's `SGLBITNT` files: a config, then tensors with their scales beside them.
import { dirname } from "node:path";
import {
  type Loader,
  type MappedFile,
  type ModelFile,
  mapFile,
  type OpenOptions,
  openCheckpoint,
  type StoredTensor,
  WrinkleFreeError,
} from "../../core/index.ts";

const magic = "SGLBITNT";
const dtypes = [
  { format: "u8", bytes: 1 },
  { format: "f32", bytes: 4 },
  { format: "f16", bytes: 2 },
  { format: "bf16", bytes: 2 },
] as const;

export const sglbitntLoader: Loader = {
  name: "sglbitnt",
  accepts: (_, head) => Buffer.from(head.subarray(0, 8)).toString("latin1") === magic,
  open: async (path, options) => openSglbitnt(path, options),
};

/** Little-endian numbers of a file, each checked against its end. */
class Reader {
  readonly file: MappedFile;
  at = 0;

  constructor(file: MappedFile) {
    this.file = file;
  }

  fail(text: string, tensor?: string): never {
    throw new WrinkleFreeError("bad_file", `${this.file.path}: ${text}`, {
      file: this.file.path,
      tensor,
      hint: "The file is truncated or damaged: export it again.",
    });
  }

  take(length: number, what: string): Uint8Array {
    if (!(length >= 0 && length <= this.file.byteLength - this.at)) {
      this.fail(`${what} is cut off at offset ${this.at}`);
    }
    this.at += length;
    return this.file.view(this.at - length, length);
  }

  u32(what: string): number {
    const bytes = this.take(4, what);
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  }

  u64(what: string): number {
    const low = this.u32(what);
    return low + this.u32(what) * 2 ** 32;
  }

  text(what: string): string {
    return new TextDecoder().decode(this.take(this.u32(what), what));
  }
}

/** Opens `path`. Throws `bad_file` naming the tensor. */
export function openSglbitnt(path: string, options: OpenOptions = {}): ModelFile {
  const file = mapFile(path);
  try {
    const { config, tensors } = readSglbitnt(file);
    return openCheckpoint(path, dirname(path), tensors, [file], {
      config: options.config ?? config,
    });
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/** Config and tensors of `file`, places checked. Throws `bad_file` naming the tensor. */
export function readSglbitnt(file: MappedFile): {
  config: Record<string, unknown>;
  tensors: Map<string, StoredTensor>;
} {
  const reader = new Reader(file);
  const start = Buffer.from(reader.take(8, "the magic")).toString("latin1");
  if (start !== magic) reader.fail(`it does not begin with ${magic}`);
  const version = reader.u32("the version");
  if (version !== 1) reader.fail(`version ${version}; version 1 is read`);
  const config = readConfig(reader);
  const tensors = new Map<string, StoredTensor>();
  const count = reader.u32("the tensor count");
  for (let i = 0; i < count; i++) {
    for (const tensor of readTensor(reader, i)) {
      if (tensors.has(tensor.name)) reader.fail(`tensor ${tensor.name} appears twice`, tensor.name);
      tensors.set(tensor.name, tensor);
    }
  }
  return { config, tensors };
}

/** The file's scales are factors to multiply by, whatever the checkpoint's class was. */
function readConfig(reader: Reader): Record<string, unknown> {
  let config: unknown;
  try {
    config = JSON.parse(reader.text("the config"));
  } catch (cause) {
    if (cause instanceof WrinkleFreeError) throw cause;
    reader.fail(`the config is not JSON: ${(cause as Error).message}`);
  }
  if (typeof config !== "object" || config === null) reader.fail("the config is no object");
  const quantization_config = {
    quant_method: "bitnet",
    linear_class: "autobitlinear",
    quantization_mode: "offline",
  };
  return { ...config, quantization_config };
}

/** A tensor and, where it has one, its scale as `<base>.weight_scale`. */
function readTensor(reader: Reader, index: number): StoredTensor[] {
  const { file } = reader;
  const stored = reader.text(`the name of tensor ${index}`);
  const dtype =
    dtypes[reader.u32(stored)] ?? reader.fail(`tensor ${stored} has an unknown dtype`, stored);
  const rank = reader.u32(stored);
  if (rank > 4) reader.fail(`tensor ${stored} has ${rank} dimensions`, stored);
  const shape = Array.from({ length: rank }, () => reader.u32(stored));
  const tensors: StoredTensor[] = [];
  const base = stored.replace(/\.q?weight$/, "");
  if (reader.u32(stored) !== 0) {
    const offset = reader.at;
    reader.take(4, `the scale of ${stored}`);
    const name = `${base}.weight_scale`;
    tensors.push({ name, format: "f32", shape: [1], file, offset, byteLength: 4 });
  }
  const byteLength = reader.u64(stored);
  const wanted = shape.reduce((product, size) => product * size, dtype.bytes);
  if (byteLength !== wanted) {
    reader.fail(
      `tensor ${stored} [${shape}] needs ${wanted} bytes, ${byteLength} are told`,
      stored,
    );
  }
  const offset = reader.at;
  reader.take(byteLength, `tensor ${stored}`);
  // Packed rows lie as SGLang's qweight does; the checkpoint's rule for `.weight` is another.
  const name = dtype.format === "u8" && rank === 2 ? `${base}.qweight` : stored;
  tensors.push({ name, format: dtype.format, shape, file, offset, byteLength });
  return tensors;
}
