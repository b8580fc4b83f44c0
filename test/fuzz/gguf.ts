// Fuzzes GGUF files: a real header and made ones in which every field may lie.
import { readFileSync } from "node:fs";
import { createTokenizer, modelOfFile } from "../../core/index.ts";
import { readGguf } from "../../plugins/gguf/loader.ts";
import { registry } from "../support/runtime.ts";
import { type Chance, damage } from "./chance.ts";
import { type Fuzzer, type Input, verdictOf } from "./fuzzer.ts";
import { auditGguf, type Header, type Pair, parseHeader, type Tensor } from "./gguf-audit.ts";
import { inMemory } from "./safetensors.ts";

const path = "model.gguf";
const real = ["i2_s", "tq1_0", "iq2_bn"].map((format) => {
  const url = new URL(`../fixtures/gguf/tern-${format}.gguf`, import.meta.url);
  return shortened(parseHeader(readFileSync(url)));
});
const types = [0, 1, 2, 8, 14, 24, 30, 34, 35, 36, 38, 39, 41, 42, 134, 135, 142, 7777];
const strangeKeys = ["general.alignment", "wrinklefree.formats", "__proto__", "a\nb", "", "\xff"];

/** The first tokens and merges only: a large vocabulary takes time and finds nothing more. */
function shortened(header: Header): Header {
  for (const pair of header.pairs) {
    if (pair.type !== 9) continue;
    const element = pair.value.readUInt32LE(0);
    const count = Math.min(Number(pair.value.readBigUInt64LE(4)), element === 8 ? 300 : 4096);
    let end = 12;
    for (let i = 0; i < count; i++) {
      end += element === 8 ? 8 + Number(pair.value.readBigUInt64LE(end)) : element === 7 ? 1 : 4;
    }
    pair.value = Buffer.from(pair.value.subarray(0, Math.min(end, pair.value.length)));
    pair.value.writeBigUInt64LE(BigInt(count), 4);
  }
  // The weights of one block are enough, and none of their bytes matter here.
  header.tensors = header.tensors.filter(({ name }) => !/blk\.[1-9]/.test(name.toString()));
  return header;
}

const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
  return bytes;
};
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};

function write(header: Header): Buffer {
  const { pairs, tensors } = header;
  const parts = [Buffer.from(header.magic, "latin1"), u32(header.version)];
  parts.push(u64(header.tensorCount ?? BigInt(tensors.length)));
  parts.push(u64(header.pairCount ?? BigInt(pairs.length)));
  for (const { key, keyLength, type, value } of pairs) {
    parts.push(u64(keyLength ?? BigInt(key.length)), key, u32(type), value);
  }
  for (const { name, nameLength, dims, rank, type, offset } of tensors) {
    parts.push(u64(nameLength ?? BigInt(name.length)), name, u32(rank ?? dims.length));
    parts.push(...dims.map(u64), u32(type), u64(offset));
  }
  return Buffer.concat(parts);
}

function small(chance: Chance): Header {
  const tensors: Tensor[] = [];
  let offset = 0n;
  for (let i = chance.int(5); i > 0; i--) {
    const type = chance.pick(types);
    const rows = 1 + chance.int(4);
    const columns = chance.pick([1, 4, 32, 64, 128, 256]);
    const name = Buffer.from(chance.pick(["token_embd.weight", "output.weight", `blk.${i}.q`]));
    tensors.push({ name, dims: [BigInt(columns), BigInt(rows)], type, offset });
    const room = chance.pick([rows * columns * 4, rows * columns, rows * 2 + rows * columns]);
    offset += BigInt(Math.ceil(room / 32) * 32);
  }
  const text = Buffer.concat([u64(5n), Buffer.from("llama")]);
  const pairs = [{ key: Buffer.from("general.architecture"), type: 8, value: text }];
  return { magic: "GGUF", version: 3, pairs, tensors, alignment: 32, dataStart: 0 };
}

function copy(header: Header): Header {
  const pairs = header.pairs.map((pair) => ({ ...pair }));
  const tensors = header.tensors.map((tensor) => ({ ...tensor, dims: [...tensor.dims] }));
  return { ...header, pairs, tensors };
}

function spoilPair(pairs: Pair[], chance: Chance): void {
  const pair = chance.pick(pairs);
  switch (chance.int(8)) {
    case 0:
      pairs.push({ ...pair });
      break;
    case 1:
      pairs.splice(pairs.indexOf(pair), 1);
      break;
    case 2:
      pair.type = chance.pick([...Array(14).keys(), 0xffffffff]);
      break;
    case 3:
      pair.keyLength = chance.size();
      break;
    case 4:
      pair.key = Buffer.from(chance.pick(strangeKeys), "latin1");
      break;
    case 5:
      pair.value = damage(pair.value, chance);
      break;
    case 6: {
      const value = Buffer.from(pair.value);
      if (value.length >= 12) value.writeBigUInt64LE(chance.size(), chance.pick([0, 4]));
      pair.value = value;
      break;
    }
    default: {
      const value = u32(Number(chance.size() & 0xffffffffn));
      pairs.push({ key: Buffer.from("general.alignment"), type: chance.pick([4, 5, 6]), value });
    }
  }
}

function spoilTensor(tensors: Tensor[], chance: Chance): void {
  const tensor = chance.pick(tensors);
  switch (chance.int(9)) {
    case 0:
      tensors.push({ ...tensor, dims: [...tensor.dims] });
      break;
    case 1:
      tensor.dims[chance.int(tensor.dims.length)] = chance.size();
      break;
    case 2:
      tensor.type = chance.pick(types);
      break;
    case 3:
      tensor.offset = chance.one(2) ? chance.size() : tensor.offset + 32n * BigInt(chance.int(40));
      break;
    case 4:
      tensor.offset = chance.pick(tensors).offset;
      break;
    case 5:
      tensor.rank = chance.pick([0, 1, 4, 5, 0xffffffff]);
      break;
    case 6:
      tensor.dims = Array.from({ length: chance.int(6) }, () => chance.size());
      break;
    case 7:
      tensor.name = Buffer.from(chance.one(9) ? "x".repeat(300) : chance.text());
      break;
    default:
      tensor.nameLength = chance.size();
  }
}

/** Headers stand at the front of one block; what follows stands for the weights. */
const scratch = Buffer.alloc(4 << 20);

function make(chance: Chance): Buffer {
  const header = chance.one(4) ? copy(chance.pick(real)) : small(chance);
  for (let i = chance.int(4); i > 0; i--) {
    if (header.pairs.length > 0 && chance.one(2)) spoilPair(header.pairs, chance);
    else if (header.tensors.length > 0) spoilTensor(header.tensors, chance);
  }
  if (chance.one(20)) header.tensorCount = chance.size();
  if (chance.one(20)) header.pairCount = chance.size();
  if (chance.one(40)) header.version = chance.pick([0, 1, 2, 4, 0x03000000]);
  const written = write(header);
  const bytes = chance.one(4) ? damage(written, chance) : written;
  bytes.copy(scratch);
  const last = Math.max(
    0,
    ...header.tensors.map(({ offset }) => Number(BigInt.asUintN(21, offset))),
  );
  const room = last + chance.pick([0, 100, 4096, 1 << 20]);
  return scratch.subarray(0, Math.min(scratch.length, bytes.length + room));
}

function check(input: Input): "accepted" | "refused" {
  const bytes = input as Buffer;
  const file = inMemory(bytes, path);
  return verdictOf(() => {
    const opened = readGguf(file);
    const tensors = [...opened.tensors.values()];
    const told = tensors.map((tensor) => ({ ...tensor, at: tensor.address - file.address }));
    auditGguf(bytes, told, "wrinklefree.formats" in opened.metadata);
    for (const { name } of tensors) opened.bytes(name);
    for (const key of Object.keys(opened.metadata)) void opened.metadata[key];
    verdictOf(() => void modelOfFile(opened, registry), path);
    verdictOf(() => {
      if (opened.tokenizer) createTokenizer(opened.tokenizer).encode("Once upon a time <s>");
    });
  }, path);
}

export const ggufFuzzer: Fuzzer = { name: "gguf", share: 3, extension: "gguf", make, check };
