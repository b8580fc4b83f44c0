// Fuzzes the safetensors header, and checks what is accepted by the format's own rules.
import { addressOf, type MappedFile } from "../../core/index.ts";
import { readHeader } from "../../plugins/safetensors/header.ts";
import { type Chance, damage, damageJson } from "./chance.ts";
import { type Fuzzer, type Input, verdictOf, wrong } from "./fuzzer.ts";

const path = "model.safetensors";
const sizes: Record<string, number> = {
  ...{ F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 },
  ...{ F8_E4M3: 1, F8_E5M2: 1 },
};
const words = ["__metadata__", "__proto__", "constructor", "a\nb", "dtype", "shape", "BF16", "U8"];

/** Bytes of a file as the loaders see a mapped one. */
export function inMemory(bytes: Uint8Array, path: string): MappedFile {
  return {
    path,
    byteLength: bytes.byteLength,
    address: bytes.byteLength === 0 ? 0 : addressOf(bytes),
    view(offset, length) {
      const inside = offset >= 0 && length >= 0 && offset + length <= bytes.byteLength;
      if (!inside) wrong(`reads bytes ${offset}..${offset + length} of ${bytes.byteLength}`);
      return bytes.subarray(offset, offset + length);
    },
    [Symbol.dispose]() {},
  };
}

function make(chance: Chance): Buffer {
  const header: Record<string, unknown> = {};
  let offset = 0;
  const count = chance.int(5);
  for (let i = 0; i < count; i++) {
    const dtype = chance.pick(Object.keys(sizes));
    const shape = Array.from({ length: chance.int(4) }, () => chance.int(6));
    const bytes = shape.reduce((product, size) => product * size, sizes[dtype]!);
    header[`model.layers.${i}.weight`] = { dtype, shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  if (chance.one(3)) header.__metadata__ = { format: "pt" };
  const root = chance.one(4) ? header : damageJson(header, words, chance);
  let text = JSON.stringify(root) ?? "";
  if (chance.one(6)) text = text.replace(/"model\.layers\.\d/, '"model.layers.0');
  if (chance.one(8)) text = text.replace(/\d+/, String(chance.size()));
  const head = Buffer.alloc(8);
  const body = Buffer.from(text);
  head.writeBigUInt64LE(chance.one(12) ? chance.size() : BigInt(body.length));
  const data = Buffer.alloc(Math.max(0, offset + (chance.one(8) ? chance.int(9) - 4 : 0)));
  const file = Buffer.concat([head, body, data]);
  return chance.one(3) ? damage(file, chance) : file;
}

function check(input: Input): "accepted" | "refused" {
  const bytes = Buffer.from(input as Uint8Array);
  let tensors: ReturnType<typeof readHeader> = [];
  const verdict = verdictOf(() => {
    tensors = readHeader(inMemory(bytes, path));
  }, path);
  if (verdict === "accepted") audit(bytes, tensors);
  return verdict;
}

function audit(bytes: Buffer, tensors: ReturnType<typeof readHeader>): void {
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const text = bytes.toString("utf8", 8, end);
  if (!Buffer.from(text).equals(bytes.subarray(8, end))) wrong("a header that is not UTF-8");
  if (text[0] !== "{") wrong("a header that does not begin with a brace");
  const names = new Set<string>();
  const covered = tensors.map(({ name, dtype, shape, offset, byteLength }) => {
    if (names.has(name)) wrong(`${name} twice`);
    names.add(name);
    const wanted = shape.reduce((product, size) => product * BigInt(size), BigInt(sizes[dtype]!));
    if (wanted !== BigInt(byteLength)) wrong(`${name} has ${byteLength} bytes, not ${wanted}`);
    if (offset < end || offset + byteLength > bytes.length) wrong(`${name} is out of the file`);
    return [offset, offset + byteLength] as const;
  });
  covered.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let at = end;
  for (const [from, to] of covered) {
    if (from !== at) wrong(`bytes ${at}..${from} belong to ${from < at ? "two" : "no"} tensors`);
    at = to;
  }
  if (at !== bytes.length) wrong(`${bytes.length - at} bytes behind the last tensor`);
  const bare = text.replace(/"(?:[^"\\]|\\.)*"/g, "");
  let depth = 0;
  let members = 0;
  for (const unit of bare) {
    if (unit === "{" || unit === "[") depth++;
    else if (unit === "}" || unit === "]") depth--;
    else if (unit === ":" && depth === 1) members++;
  }
  if (members !== Object.keys(JSON.parse(text)).length) wrong("a name twice in the header");
}

export const safetensorsFuzzer: Fuzzer = {
  ...{ name: "safetensors", share: 1, extension: "safetensors", make, check },
};
