// Seeded choices for fuzzers: numbers that break things, and damage to bytes.
import { generator } from "../support/random.ts";

/** The random choices of one case. */
export class Chance {
  readonly next: () => number;

  constructor(seed: number) {
    this.next = generator(seed);
  }

  /** A whole number from 0 to `below` - 1. */
  int(below: number): number {
    return Math.floor(this.next() * below);
  }

  /** True one time in `of`. */
  one(of: number): boolean {
    return this.int(of) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)]!;
  }

  /** Numbers at which readers of 64 bits break, and small ones. */
  size(): bigint {
    if (this.one(2)) return BigInt(this.int(300));
    const bits = BigInt(this.pick([7, 8, 15, 16, 31, 32, 33, 47, 52, 53, 62, 63, 64]));
    return BigInt.asUintN(64, (1n << bits) + BigInt(this.int(5) - 2));
  }

  /** A number that JSON can hold. */
  number(): number {
    const odd = [0, -1, 1, 0.5, 1e9, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53), 1e308, 1e-308, -0];
    return this.one(2) ? this.int(100) : this.pick(odd);
  }

  /** Letters and characters that break readers of text. */
  text(most = 12): string {
    const odd = ["\0", "\n", "\r\n", "\u2028", "\ud800", "é", "𝄞", "\u202e", '"', "\\", " ", "/"];
    let text = "";
    const length = this.int(most + 1);
    while (text.length < length) {
      text += this.one(4) ? this.pick(odd) : String.fromCharCode(97 + this.int(26));
    }
    return text;
  }

  /** A seed of another sequence. */
  seed(): number {
    return Math.floor(this.next() * 2 ** 32);
  }
}

/** The seed of case `index` of a fuzzer: cases do not depend on each other. */
export function caseSeed(name: string, seed: number, index: number): number {
  return Number(BigInt(Bun.hash(`${name} ${seed} ${index}`)) & 0xffffffffn);
}

/** Damages `bytes` one to four times: bits, bytes, ranges, cuts, repeats, 32 and 64-bit numbers. */
export function damage(bytes: Uint8Array, chance: Chance): Buffer {
  let result = Buffer.from(bytes);
  for (let i = chance.int(4); i >= 0 && result.length > 0; i--) {
    const at = chance.int(result.length);
    const length = Math.min(1 + chance.int(16), result.length - at);
    switch (chance.int(8)) {
      case 0:
        result[at]! ^= 1 << chance.int(8);
        break;
      case 1:
        result[at] = chance.pick([0, 1, 0x7f, 0x80, 0xff, chance.int(256)]);
        break;
      case 2:
        result.fill(chance.int(256), at, at + length);
        break;
      case 3:
        result = result.subarray(0, at);
        break;
      case 4:
        result = Buffer.concat([result.subarray(0, at), result.subarray(at + length)]);
        break;
      case 5:
        result = Buffer.concat([result.subarray(0, at + length), result.subarray(at)]);
        break;
      case 6:
        if (at + 8 <= result.length) result.writeBigUInt64LE(chance.size(), at);
        break;
      default:
        if (at + 4 <= result.length) result.writeUInt32LE(Number(chance.size() & 0xffffffffn), at);
    }
  }
  return result;
}

/** Damages a text: characters, cuts, and pieces of itself and of `words` put elsewhere. */
export function damageText(text: string, words: readonly string[], chance: Chance): string {
  let result = text;
  for (let i = chance.int(4); i >= 0; i--) {
    const at = chance.int(result.length + 1);
    const end = Math.min(result.length, at + chance.int(12));
    switch (chance.int(7)) {
      case 0:
        result = result.slice(0, at) + result.slice(end);
        break;
      case 1:
        result = result.slice(0, at) + chance.text(4) + result.slice(end);
        break;
      case 2:
        result = result.slice(0, end) + result.slice(at);
        break;
      case 3:
        result = result.slice(0, at);
        break;
      case 4: {
        const from = chance.int(result.length + 1);
        const piece = result.slice(from, from + chance.int(40));
        result = result.slice(0, at) + piece + result.slice(at);
        break;
      }
      default:
        result = result.slice(0, at) + chance.pick(words) + result.slice(chance.one(2) ? at : end);
    }
  }
  return result;
}

/** Damages a JSON value in place: members doubled, moved, of other types, nested. */
export function damageJson(value: unknown, words: readonly string[], chance: Chance): unknown {
  const places: { holder: Record<string, unknown>; key: string }[] = [];
  const root = { root: value };
  const visit = (holder: Record<string, unknown>): void => {
    for (const key of Object.keys(holder)) {
      if (places.length > 2000) return;
      places.push({ holder, key });
      const inner = holder[key];
      if (typeof inner === "object" && inner !== null) visit(inner as Record<string, unknown>);
    }
  };
  visit(root as unknown as Record<string, unknown>);
  for (let i = chance.int(4); i >= 0; i--) {
    const { holder, key } = chance.pick(places);
    const other = chance.pick(places);
    const action = chance.int(6);
    if (action === 0 && key !== "root") delete holder[key];
    else if (action === 1) holder[key] = structuredClone(other.holder[other.key]);
    else if (action === 2) holder[chance.pick(words)] = structuredClone(other.holder[other.key]);
    else if (action === 3) holder[chance.pick(words)] = junk(words, chance);
    else if (action === 4) holder[key] = [holder[key], junk(words, chance)];
    else holder[key] = junk(words, chance);
  }
  return root.root;
}

/** Some JSON value. */
export function junk(words: readonly string[], chance: Chance): unknown {
  switch (chance.int(8)) {
    case 0:
      return null;
    case 1:
      return chance.one(2);
    case 2:
      return chance.number();
    case 3:
      return chance.text();
    case 4:
      return chance.pick(words);
    case 5:
      return Array.from({ length: chance.int(4) }, () => chance.number());
    case 6:
      return { [chance.pick(words)]: chance.number() };
    default:
      return [];
  }
}
