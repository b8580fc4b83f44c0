// A pickle reader that knows plain data and calls nothing but what its caller allows by name.
import { WrinkleFreeError } from "../../core/index.ts";

/** What a pickle may build: plain values, and what the allowed names make. */
export type Pickled =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Pickled[]
  | Map<Pickled, Pickled>
  | object;

export interface Allowed {
  /** The value of `module.name`; undefined = refused. */
  global(name: string): Pickled | undefined;
  /** Calls an allowed global; undefined = it cannot be called. */
  call(target: Pickled, args: readonly Pickled[]): Pickled | undefined;
  /** An object that the pickle keeps elsewhere (a storage). */
  persistent(id: Pickled): Pickled;
}

const mark = Symbol("mark");
type Slot = Pickled | typeof mark;
const deepest = 1 << 20;

/** Reads one pickle (protocols 0 to 5, binary opcodes). Throws `bad_file` naming what is refused. */
export function unpickle(bytes: Uint8Array, allowed: Allowed): Pickled {
  return new Unpickler(bytes, allowed).run();
}

class Unpickler {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #allowed: Allowed;
  readonly #stack: Slot[] = [];
  readonly #memo = new Map<number, Slot>();
  #at = 0;

  constructor(bytes: Uint8Array, allowed: Allowed) {
    this.#bytes = Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#allowed = allowed;
  }

  run(): Pickled {
    for (;;) {
      const opcode = this.#take(1)[0] as number;
      if (opcode === 0x2e) return this.#pop();
      const step = opcodes[opcode];
      if (!step) throw damaged(`opcode 0x${opcode.toString(16)} is not read`);
      step(this);
      if (this.#stack.length > deepest) throw damaged("the stack grows without end");
    }
  }

  #take(length: number): Buffer {
    if (!(length >= 0 && length <= this.#bytes.length - this.#at)) throw damaged("it is cut off");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  u8 = (): number => this.#take(1)[0] as number;
  u16 = (): number => this.#take(2).readUInt16LE();
  u32 = (): number => this.#take(4).readUInt32LE();
  i32 = (): number => this.#take(4).readInt32LE();
  u64 = (): number => Number(this.#take(8).readBigUInt64LE());
  bytes = (length: number): Uint8Array => Uint8Array.from(this.#take(length));
  text = (length: number): string => this.#take(length).toString("utf8");

  float(): number {
    this.#take(8);
    return this.#view.getFloat64(this.#at - 8, false);
  }

  line(): string {
    const end = this.#bytes.indexOf(10, this.#at);
    if (end < 0) throw damaged("it is cut off");
    const text = this.#bytes.toString("utf8", this.#at, end);
    this.#at = end + 1;
    return text;
  }

  /** Two's complement, little endian, of any length. */
  long(length: number): number | bigint {
    if (length > 1024) throw damaged("an integer of more than 1024 bytes");
    let value = 0n;
    const bytes = this.#take(length);
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
    if (length > 0 && (bytes[length - 1] as number) >= 128) value -= 1n << BigInt(8 * length);
    const exact = value >= -9007199254740991n && value <= 9007199254740991n;
    return exact ? Number(value) : value;
  }

  push(value: Slot): void {
    this.#stack.push(value);
  }

  pushMark(): void {
    this.#stack.push(mark);
  }

  #pop(): Pickled {
    const value = this.#stack.pop();
    if (value === undefined || value === mark) throw damaged("a value is missing");
    return value as Pickled;
  }

  pop = (): Pickled => this.#pop();

  popMany(count: number): Pickled[] {
    const values: Pickled[] = [];
    for (let i = 0; i < count; i++) values.unshift(this.#pop());
    return values;
  }

  popToMark(): Pickled[] {
    const start = this.#stack.lastIndexOf(mark);
    if (start < 0) throw damaged("a mark is missing");
    return this.#stack.splice(start).slice(1) as Pickled[];
  }

  peek(): Pickled {
    const value = this.#stack[this.#stack.length - 1];
    if (value === undefined || value === mark) throw damaged("a value is missing");
    return value as Pickled;
  }

  memoize(index: number = this.#memo.size): void {
    this.#memo.set(index, this.peek());
  }

  recall(index: number): void {
    if (!this.#memo.has(index)) throw damaged(`memo ${index} is empty`);
    this.push(this.#memo.get(index) as Slot);
  }

  global(module: string, name: string): void {
    const value = this.#allowed.global(`${module}.${name}`);
    if (value === undefined) throw refused(`${module}.${name}`);
    this.push(value);
  }

  call(): void {
    const args = this.#pop();
    const target = this.#pop();
    if (!Array.isArray(args)) throw damaged("arguments are no tuple");
    const value = this.#allowed.call(target, args);
    if (value === undefined) throw refused(nameOf(target));
    this.push(value);
  }

  setItems(values: readonly Pickled[]): void {
    const target = this.peek();
    if (!(target instanceof Map)) throw damaged("items are set on what is no dictionary");
    for (let i = 0; i + 1 < values.length; i += 2)
      target.set(values[i] as Pickled, values[i + 1] as Pickled);
  }

  append(values: readonly Pickled[]): void {
    const target = this.peek();
    if (!Array.isArray(target)) throw damaged("items are appended to what is no list");
    for (const value of values) target.push(value);
  }

  persistent(): void {
    this.push(this.#allowed.persistent(this.#pop()));
  }
}

function damaged(text: string): WrinkleFreeError {
  return new WrinkleFreeError("bad_file", `the pickle is damaged: ${text}`);
}

/** What is called, in a word: values of a pickle may be endless. */
function nameOf(target: Pickled): string {
  if (typeof target === "string") return JSON.stringify(target);
  const name = (target as { name?: unknown } | null)?.name;
  return typeof name === "string" ? name : `a call of a value (${typeof target})`;
}

function refused(name: string): WrinkleFreeError {
  return new WrinkleFreeError("bad_file", `the pickle asks for ${name}, which is refused`, {
    hint: "Only tensors and plain data are read. Save the state dict alone, or as safetensors.",
  });
}

type Step = (machine: Unpickler) => void;

const opcodes: Readonly<Record<number, Step>> = {
  128: (m) => void m.u8(), // PROTO
  149: (m) => void m.u64(), // FRAME
  40: (m) => m.pushMark(),
  48: (m) => void m.pop(),
  49: (m) => void m.popToMark(),
  50: (m) => m.push(m.peek()),
  78: (m) => m.push(null),
  136: (m) => m.push(true),
  137: (m) => m.push(false),
  75: (m) => m.push(m.u8()),
  77: (m) => m.push(m.u16()),
  74: (m) => m.push(m.i32()),
  138: (m) => m.push(m.long(m.u8())),
  139: (m) => m.push(m.long(m.u32())),
  71: (m) => m.push(m.float()),
  88: (m) => m.push(m.text(m.u32())),
  140: (m) => m.push(m.text(m.u8())),
  141: (m) => m.push(m.text(m.u64())),
  84: (m) => m.push(m.text(m.u32())),
  85: (m) => m.push(m.text(m.u8())),
  66: (m) => m.push(m.bytes(m.u32())),
  67: (m) => m.push(m.bytes(m.u8())),
  142: (m) => m.push(m.bytes(m.u64())),
  125: (m) => m.push(new Map()),
  93: (m) => m.push([]),
  41: (m) => m.push([]),
  143: (m) => m.push([]),
  116: (m) => m.push(m.popToMark()),
  133: (m) => m.push(m.popMany(1)),
  134: (m) => m.push(m.popMany(2)),
  135: (m) => m.push(m.popMany(3)),
  145: (m) => m.push(m.popToMark()),
  97: (m) => appendOne(m),
  101: (m) => m.append(m.popToMark()),
  144: (m) => m.append(m.popToMark()),
  115: (m) => m.setItems(m.popMany(2)),
  117: (m) => m.setItems(m.popToMark()),
  113: (m) => m.memoize(m.u8()),
  114: (m) => m.memoize(m.u32()),
  148: (m) => m.memoize(),
  104: (m) => m.recall(m.u8()),
  106: (m) => m.recall(m.u32()),
  99: (m) => m.global(m.line(), m.line()),
  147: (m) => stackGlobal(m),
  82: (m) => m.call(),
  129: (m) => m.call(),
  98: (m) => void m.pop(), // BUILD: state of an allowed object; tensors and dictionaries need none
  81: (m) => m.persistent(),
};

function appendOne(machine: Unpickler): void {
  const value = machine.pop();
  machine.append([value]);
}

function stackGlobal(machine: Unpickler): void {
  const [module, name] = machine.popMany(2);
  machine.global(String(module), String(name));
}
