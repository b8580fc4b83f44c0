// Makes a checkpoint whose ternary weights hold exactly one zero in every four columns.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import hfPacked from "../../plugins/formats/index.ts";

const quantizer = hfPacked.quantizers!.find(({ format }) => format === "hf-packed")!;
const packedPerByte = 4;

interface Entry {
  readonly dtype: string;
  readonly shape: [number, number];
  readonly data_offsets: [number, number];
}

/** Three signs and a zero for each four values, as near to them as can be without looking far. */
function thin(values: Float32Array): Float32Array {
  const thinned = values.map((value) => (value < 0 ? -1 : 1));
  for (let at = 0; at < values.length; at += 4) {
    const zero = values.subarray(at, at + 4).indexOf(0);
    thinned[at + Math.max(zero, 0)] = 0;
  }
  return thinned;
}

/** Copies the packed checkpoint in `from` to `to`, its ternary weights changed. */
export function sparseCheckpoint(from: string, to: string): void {
  cpSync(from, to, { recursive: true });
  const path = join(to, "model.safetensors");
  const file = readFileSync(path);
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + headerBytes)) as Record<string, Entry>;
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__" || entry.dtype !== "U8") continue;
    const [begin, end] = entry.data_offsets.map((offset) => 8 + headerBytes + offset);
    const bytes = file.subarray(begin, end);
    const shape = [entry.shape[0] * packedPerByte, entry.shape[1]];
    const values = quantizer.decode({ bytes, scale: Float32Array.of(1) }, shape);
    bytes.set(quantizer.encode(thin(values), shape).bytes);
  }
  writeFileSync(path, file);
}
