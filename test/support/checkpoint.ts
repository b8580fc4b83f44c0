// Writes small checkpoints for tests: tensors in one safetensors file, and a config.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSafetensors } from "../../plugins/safetensors/loader.ts";

export interface CheckpointTensor {
  readonly dtype: "F32" | "F16" | "BF16" | "U8";
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export type CheckpointTensors = Record<string, CheckpointTensor>;

export function writeCheckpoint(
  folder: string,
  config: object,
  tensors: CheckpointTensors,
): string {
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.byteLength] };
    offset += bytes.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.byteLength));
  mkdirSync(folder, { recursive: true });
  const data = Object.values(tensors).map(({ bytes }) => bytes);
  writeFileSync(join(folder, "model.safetensors"), Buffer.concat([length, text, ...data]));
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  return folder;
}

/** The tensors of a fixture as they are stored, to be changed and written again. */
export function readCheckpoint(folder: string): {
  config: Record<string, unknown>;
  tensors: CheckpointTensors;
} {
  using file = openSafetensors(folder);
  const dtypes: Record<string, CheckpointTensor["dtype"]> = {
    f32: "F32",
    f16: "F16",
    bf16: "BF16",
    "hf-packed": "U8",
  };
  const tensors: CheckpointTensors = {};
  for (const [name, { format, shape }] of file.tensors) {
    const [rows = 1, ...rest] = shape;
    const stored = format === "hf-packed" ? [rows / 4, ...rest] : shape;
    const bytes = Uint8Array.from(file.bytes(name));
    tensors[name] = { dtype: dtypes[format] ?? "F32", shape: stored, bytes };
  }
  return { config: { ...file.config }, tensors };
}

/** bf16 values times a power of two. */
export function scaled(tensor: CheckpointTensor, factor: number): CheckpointTensor {
  const halves = new Uint16Array(Uint8Array.from(tensor.bytes).buffer);
  const view = new DataView(new ArrayBuffer(4));
  for (const [i, half] of halves.entries()) {
    view.setUint32(0, half << 16);
    view.setFloat32(0, view.getFloat32(0) * factor);
    halves[i] = view.getUint16(0);
  }
  return { ...tensor, bytes: new Uint8Array(halves.buffer) };
}

/** A bf16 vector of small numbers that differ. */
export function vector(length: number, step: number): CheckpointTensor {
  const floats = Float32Array.from({ length }, (_, i) => (((i * 7) % 11) - 5) * step);
  const words = new Uint32Array(floats.buffer);
  const halves = Uint16Array.from(words, (word) => word >>> 16);
  return { dtype: "BF16", shape: [length], bytes: new Uint8Array(halves.buffer) };
}
