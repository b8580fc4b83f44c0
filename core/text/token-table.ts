// The tokens of a vocabulary as bytes in one block, with a hash table to find them.
import { WrinkleFreeError } from "../errors.ts";

/** More tokens than this are refused. */
const mostTokens = 2 ** 21;

/** Grows one block of bytes; `close` ends a token. */
export class TokenTableBuilder {
  #bytes = new Uint8Array(1 << 20);
  #size = 0;
  readonly #offsets: Uint32Array;
  #count = 0;

  constructor(count: number) {
    if (count > mostTokens) {
      throw new WrinkleFreeError("unsupported", `${count} tokens; at most ${mostTokens} are read`);
    }
    this.#offsets = new Uint32Array(count + 1);
  }

  push(byte: number): void {
    if (this.#size === this.#bytes.length) this.#reserve(1);
    this.#bytes[this.#size++] = byte;
  }

  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#size);
    this.#size += bytes.length;
  }

  /** Ends a token. Tokens that are not `findable` have bytes, but are never found by them. */
  close(): void {
    this.#offsets[++this.#count] = this.#size;
  }

  build(findable: (token: number) => boolean): TokenTable {
    return new TokenTable(this.#bytes.slice(0, this.#size), this.#offsets, findable);
  }

  #reserve(more: number): void {
    if (this.#size + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#size + more));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

/** Token i is blob[offsets[i]] .. blob[offsets[i + 1] - 1]. */
export class TokenTable {
  readonly size: number;
  readonly longest: number;
  readonly #blob: Uint8Array;
  readonly #offsets: Uint32Array;
  /** Open addressing; token + 1, 0 = free. */
  readonly #slots: Int32Array;

  constructor(blob: Uint8Array, offsets: Uint32Array, findable: (token: number) => boolean) {
    this.size = offsets.length - 1;
    this.#blob = blob;
    this.#offsets = offsets;
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(2, this.size * 2))));
    let longest = 0;
    for (let token = 0; token < this.size; token++) {
      const [start, end] = [offsets[token]!, offsets[token + 1]!];
      if (end === start || !findable(token)) continue;
      longest = Math.max(longest, end - start);
      const slot = this.#slot(blob, start, end);
      // Of tokens with the same bytes, the first is found.
      if (this.#slots[slot] === 0) this.#slots[slot] = token + 1;
    }
    this.longest = longest;
  }

  bytes(token: number): Uint8Array {
    return this.#blob.subarray(this.#offsets[token]!, this.#offsets[token + 1]!);
  }

  /** The token of bytes[start .. end - 1], or -1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    if (end - start > this.longest) return -1;
    return this.#slots[this.#slot(bytes, start, end)]! - 1;
  }

  /** The slot that holds these bytes, or the free one where they would go. */
  #slot(bytes: Uint8Array, start: number, end: number): number {
    const wrap = this.#slots.length - 1;
    let hash = 0x811c9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
    // FNV's low bits are weak for short texts: fold the high ones in.
    let slot = (hash ^ (hash >>> 15)) & wrap;
    for (;;) {
      const held = this.#slots[slot]!;
      if (held === 0 || this.#equals(held - 1, bytes, start, end)) return slot;
      slot = (slot + 1) & wrap;
    }
  }

  #equals(token: number, bytes: Uint8Array, start: number, end: number): boolean {
    const from = this.#offsets[token]!;
    if (this.#offsets[token + 1]! - from !== end - start) return false;
    for (let i = start, j = from; i < end; i++, j++) {
      if (bytes[i] !== this.#blob[j]) return false;
    }
    return true;
  }
}
