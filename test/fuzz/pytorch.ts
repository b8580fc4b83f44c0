// Fuzzes torch.save archives and SGLang-BitNet files: zip records, pickle opcodes, storages.
import { readFileSync } from "node:fs";
import type { StoredTensor } from "../../core/index.ts";
import { readSglbitnt } from "../../plugins/pytorch/sglbitnt.ts";
import { readStateDict } from "../../plugins/pytorch/state-dict.ts";
import { unpickle } from "../../plugins/pytorch/unpickle.ts";
import { torchSave } from "../support/torch-save.ts";
import { type Chance, damage } from "./chance.ts";
import { type Fuzzer, type Input, type Verdict, verdictOf, wrong } from "./fuzzer.ts";
import { inMemory } from "./safetensors.ts";

const path = "model.pt";
const fixture = (name: string): Buffer =>
  readFileSync(new URL(`../fixtures/pytorch/${name}.pt`, import.meta.url));
const bases = [
  fixture("small"),
  fixture("transposed"),
  fixture("evil"),
  torchSave({
    step: 5,
    model_state_dict: {
      "a.weight": { storage: "FloatStorage", shape: [2, 3], bytes: new Uint8Array(24) },
      "b.weight": { storage: "ByteStorage", shape: [4], bytes: new Uint8Array(4) },
      lambda: 0.5,
    },
  }),
];

/** Pieces of pickles that fit nearly everywhere. */
const pieces = [
  ...[".", "(", "0", "1", "2", "N", "]", "}", ")", "t", "\x85", "\x86", "\x87", "R", "b", "Q"],
  ...["a", "e", "s", "u", "q\x00", "h\x00", "\x94", "\x8a\x01\xff", "K\x01", "J\xff\xff\xff\x7f"],
  ...["cos\nsystem\n", "cbuiltins\neval\n", "ccollections\nOrderedDict\n", "\x8c\x03abc", "\x93"],
  ...["ctorch._utils\n_rebuild_tensor_v2\n", "ctorch\nFloatStorage\n", "ctorch\ndevice\n"],
  ...["X\xff\xff\xff\xff", "]q\x01h\x01a", "}q\x02\x8c\x06lambdah\x02s", "\x8b\xff\xff\xff\xff"],
].map((text) => Buffer.from(text, "latin1"));

/** Damages the pickle and puts it back with its sizes mended, so that the zip does not stop it. */
function spoilPickle(archive: Buffer, chance: Chance): Buffer {
  const at = archive.indexOf(Buffer.from([0x80, 2]));
  const end = archive.indexOf("PK", at);
  if (at < 0 || end < 0) return archive;
  let pickle: Buffer = Buffer.from(archive.subarray(at, end));
  for (let i = chance.int(5); i >= 0; i--) {
    const place = chance.int(pickle.length);
    const piece = chance.pick(pieces);
    const cut = chance.one(2) ? place : Math.min(pickle.length, place + piece.length);
    pickle = Buffer.concat([pickle.subarray(0, place), piece, pickle.subarray(cut)]);
  }
  if (chance.one(4)) pickle = damage(pickle, chance);
  const grown = pickle.length - (end - at);
  const result = Buffer.concat([archive.subarray(0, at), pickle, archive.subarray(end)]);
  // Every central entry: sizes of the pickle, places of what lies behind it.
  for (let entry = result.indexOf("PK\x01\x02"); entry >= 0; ) {
    const place = result.readUInt32LE(entry + 42);
    if (place > at) result.writeUInt32LE(Math.max(0, place + grown), entry + 42);
    else if (place + 30 + result.readUInt16LE(place + 26) + result.readUInt16LE(place + 28) === at)
      for (const size of [20, 24]) result.writeUInt32LE(pickle.length, entry + size);
    entry = result.indexOf("PK\x01\x02", entry + 4);
  }
  const tail = result.lastIndexOf("PK\x05\x06");
  if (tail >= 0)
    result.writeUInt32LE(Math.max(0, result.readUInt32LE(tail + 16) + grown), tail + 16);
  return result;
}

function make(chance: Chance): Buffer {
  if (chance.one(8)) return Buffer.concat([Buffer.from("P"), program(chance)]);
  if (chance.one(5)) return sglbitnt(chance);
  const base = chance.pick(bases);
  const spoiled = chance.one(4) ? base : spoilPickle(base, chance);
  return chance.one(3) ? damage(spoiled, chance) : Buffer.from(spoiled);
}

/** A pickle alone: any pieces one after another. */
function program(chance: Chance): Buffer {
  const many = chance.one(50) ? 20_000 : 40;
  const few = Array.from({ length: 1 + chance.int(3) }, () => chance.pick(pieces));
  const list = Array.from({ length: chance.int(many) }, () =>
    many > 40 ? chance.pick(few) : chance.pick(pieces),
  );
  return Buffer.concat([...list, Buffer.from(".")]);
}

function sglbitnt(chance: Chance): Buffer {
  const u32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value >>> 0);
    return bytes;
  };
  const text = (value: string): Buffer =>
    Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value)]);
  const parts = [Buffer.from("SGLBITNT"), u32(1), text('{"model_type":"llama"}'), u32(2)];
  for (const name of ["a.weight", chance.one(5) ? "a.weight" : "b.qweight"]) {
    const [rows, columns] = [chance.int(4), chance.int(4)];
    parts.push(text(name), u32(0), u32(2), u32(rows), u32(columns), u32(1), u32(0x3f800000));
    parts.push(u32(rows * columns), u32(0), Buffer.alloc(rows * columns));
  }
  const whole = Buffer.concat(parts);
  return chance.one(6) ? whole : damage(whole, chance);
}

function check(input: Input): Verdict {
  const bytes = Buffer.from(input as Uint8Array);
  const file = inMemory(bytes, path);
  // "P" alone in front (and no zip's "PK") marks a bare pickle.
  if (bytes[0] === 0x50 && bytes[1] !== 0x4b) {
    const allowed = { global: () => undefined, call: () => undefined, persistent: () => null };
    return verdictOf(() => void unpickle(bytes.subarray(1), allowed));
  }
  return verdictOf(() => {
    const isSgl = bytes.toString("latin1", 0, 8) === "SGLBITNT";
    const tensors = isSgl ? readSglbitnt(file).tensors : readStateDict(file).tensors;
    audit(bytes, [...tensors.values()]);
  }, path);
}

const elements: Record<string, number> = {
  f64: 8,
  i64: 8,
  f32: 4,
  i32: 4,
  i16: 2,
  f16: 2,
  bf16: 2,
};

function audit(bytes: Buffer, tensors: readonly StoredTensor[]): void {
  for (const { name, shape, format, offset, byteLength } of tensors) {
    const count = shape.reduce((product, size) => product * BigInt(size), 1n);
    const wanted = count * BigInt(elements[format] ?? 1);
    if (wanted !== BigInt(byteLength)) wrong(`${name} has ${byteLength} bytes, not ${wanted}`);
    const inside =
      Number.isSafeInteger(offset) && offset >= 0 && offset + byteLength <= bytes.length;
    if (!inside) wrong(`${name} lies at ${offset}..${offset + byteLength} of ${bytes.length}`);
  }
}

export const pytorchFuzzer: Fuzzer = { name: "pickle/zip", share: 1, extension: "pt", make, check };
