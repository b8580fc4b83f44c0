// A second reader of GGUF, written against the format's document alone: what a valid file must be.
import { wrong } from "./fuzzer.ts";

export interface Pair {
  key: Buffer;
  /** What is written as the key's length where it is not the true one. */
  keyLength?: bigint;
  type: number;
  value: Buffer;
}

export interface Tensor {
  name: Buffer;
  nameLength?: bigint;
  /** Innermost first, as in the file. */
  dims: bigint[];
  rank?: number;
  type: number;
  offset: bigint;
}

export interface Header {
  magic: string;
  version: number;
  tensorCount?: bigint;
  pairCount?: bigint;
  pairs: Pair[];
  tensors: Tensor[];
  alignment: number;
  /** Bytes of the header with its padding. */
  dataStart: number;
}

const scalarBytes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

/** Weights and bytes of a block of ggml's types. */
const blocks: Record<number, readonly [weights: number, bytes: number]> = {
  ...{ 0: [1, 4], 1: [1, 2], 2: [32, 18], 3: [32, 20], 6: [32, 22], 7: [32, 24], 8: [32, 34] },
  ...{ 10: [256, 84], 11: [256, 110], 12: [256, 144], 13: [256, 176], 14: [256, 210] },
  ...{ 24: [1, 1], 25: [1, 2], 26: [1, 4], 27: [1, 8], 28: [1, 8], 30: [1, 2] },
  ...{ 34: [256, 54], 35: [256, 66] },
};

/** Reads a header. Throws a `RangeError` or `Error` for anything that is not whole. */
export function parseHeader(bytes: Buffer): Header {
  let at = 0;
  const take = (length: number): Buffer => {
    if (!(length >= 0 && at + length <= bytes.length)) throw new RangeError("past the end");
    at += length;
    return bytes.subarray(at - length, at);
  };
  const u32 = (): number => take(4).readUInt32LE();
  const u64 = (): bigint => take(8).readBigUInt64LE();
  const size = (): number => Number(u64());
  const magic = take(4).toString("latin1");
  const version = u32();
  const [tensorCount, pairCount] = [size(), size()];
  const pairs: Pair[] = [];
  let alignment = 32;
  for (let i = 0; i < pairCount; i++) {
    const key = take(size());
    const type = u32();
    const start = at;
    if (type === 8) take(size());
    else if (type === 9) {
      const [element, count] = [u32(), size()];
      if (element === 8) for (let j = 0; j < count; j++) take(size());
      else take((scalarBytes[element] || Number.NaN) * count);
    } else take(scalarBytes[type] || Number.NaN);
    const value = bytes.subarray(start, at);
    if (key.toString() === "general.alignment")
      alignment = Number(value.readUIntLE(0, Math.min(6, value.length)));
    pairs.push({ key, type, value });
  }
  const tensors: Tensor[] = [];
  for (let i = 0; i < tensorCount; i++) {
    const name = take(size());
    const dims = Array.from({ length: u32() }, u64);
    tensors.push({ name, dims, type: u32(), offset: u64() });
  }
  const dataStart = Math.ceil(at / alignment) * alignment;
  return { magic, version, pairs, tensors, alignment, dataStart };
}

/** What the reader under test says of a tensor. */
interface Told {
  readonly name: string;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** From the file's first byte. */
  readonly at: number;
}

/** Fails unless the file is valid and `told` is what it holds. */
export function auditGguf(bytes: Buffer, told: readonly Told[], ownFormats: boolean): void {
  const header = parseHeader(bytes);
  if (header.magic !== "GGUF" || ![2, 3].includes(header.version)) wrong("magic or version");
  const keys = header.pairs.map(({ key }) => key.toString());
  if (new Set(keys).size !== keys.length) wrong("a key twice");
  if (header.tensors.length !== told.length) wrong(`${told.length} tensors`);
  const ranges: [number, number, string][] = [];
  for (const [i, { name, dims, type, offset }] of header.tensors.entries()) {
    const mine = told[i]!;
    if (name.toString() !== mine.name) wrong(`tensor ${i} is ${name}, not ${mine.name}`);
    if (dims.length < 1 || dims.length > 4) wrong(`${dims.length} dimensions`);
    const count = dims.reduce((product, dim) => product * dim, 1n);
    if (count < 1n) wrong(`${mine.name} is empty`);
    if (offset % BigInt(header.alignment) !== 0n) wrong(`${mine.name} is not aligned`);
    if (mine.at !== header.dataStart + Number(offset)) wrong(`${mine.name} lies at ${mine.at}`);
    const toldCount = mine.shape.reduce((product, dim) => product * BigInt(dim), 1n);
    if (!ownFormats && toldCount !== count) wrong(`${mine.name} [${mine.shape}] is not [${dims}]`);
    const block = blocks[type];
    if (block) {
      if (dims[0]! % BigInt(block[0]) !== 0n) wrong(`${mine.name} has half blocks`);
      const wanted = (count / BigInt(block[0])) * BigInt(block[1]);
      if (BigInt(mine.byteLength) !== wanted) wrong(`${mine.name} has ${mine.byteLength} bytes`);
    }
    if (!(mine.byteLength >= 0)) wrong(`${mine.name} has ${mine.byteLength} bytes`);
    ranges.push([mine.at, mine.at + mine.byteLength, mine.name]);
  }
  ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  for (const [i, [, end, name]] of ranges.entries()) {
    if (end > bytes.length) wrong(`${name} ends at ${end} of ${bytes.length}`);
    if (end > (ranges[i + 1]?.[0] ?? end)) wrong(`${name} overlaps ${ranges[i + 1]?.[2]}`);
  }
  if (new Set(told.map(({ name }) => name)).size !== told.length) wrong("a tensor twice");
}
