// Byte-pair merges: which two tokens become which one, and in what order.

/** A hash table from pairs of tokens to the rank of their merge and the token that it makes. */
export class Merges {
  /** Open addressing, four numbers a slot: left + 1 (0 = free), right, rank, merged. */
  readonly #slots: Int32Array;
  readonly #wrap: number;

  constructor(most: number) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(2, most * 1.5)));
    this.#slots = new Int32Array(size * 4);
    this.#wrap = size - 1;
  }

  /** Of two merges of one pair, the last counts, as in the libraries that read them into a map. */
  set(left: number, right: number, rank: number, merged: number): void {
    const at = this.#slot(left, right) * 4;
    this.#slots[at] = left + 1;
    this.#slots[at + 1] = right;
    this.#slots[at + 2] = rank;
    this.#slots[at + 3] = merged;
  }

  /** Where the pair's merge is held, for rankAt and mergedAt; -1 where there is none. */
  find(left: number, right: number): number {
    const at = this.#slot(left, right) * 4;
    return this.#slots[at] === 0 ? -1 : at;
  }

  rankAt(place: number): number {
    return this.#slots[place + 2]!;
  }

  mergedAt(place: number): number {
    return this.#slots[place + 3]!;
  }

  #slot(left: number, right: number): number {
    const hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    let slot = (hash ^ (hash >>> 15)) & this.#wrap;
    for (;;) {
      const at = slot * 4;
      const held = this.#slots[at]!;
      if (held === 0 || (held === left + 1 && this.#slots[at + 1] === right)) return slot;
      slot = (slot + 1) & this.#wrap;
    }
  }
}

/**
 * A row of tokens that merges shorten: always the merge of the lowest key, then the leftmost. Pairs
 * wait in a heap; those that changed since are passed over when they come up.
 */
export class MergeQueue {
  #tokens = new Int32Array(64);
  #next = new Int32Array(64);
  #previous = new Int32Array(64);
  /** Heap of positions, and each position's key (Infinity: no merge there). */
  readonly #heapKeys: number[] = [];
  readonly #heapPositions: number[] = [];
  #keys = new Float64Array(64);

  /**
   * Merges tokens[0 .. length - 1] as far as they go; appends what is left to `out`.
   * @param keyOf key of a pair's merge, or Infinity
   * @param merge the token that a pair makes
   */
  run(
    tokens: Int32Array,
    length: number,
    keyOf: (left: number, right: number) => number,
    merge: (left: number, right: number) => number,
    out: number[],
  ): void {
    this.#load(tokens, length);
    for (let i = 0; i < length - 1; i++) this.#push(i, keyOf(tokens[i]!, tokens[i + 1]!));
    while (this.#heapKeys.length > 0) {
      const [key, left] = this.#pop();
      if (this.#keys[left] !== key) continue;
      const right = this.#next[left]!;
      this.#tokens[left] = merge(this.#tokens[left]!, this.#tokens[right]!);
      this.#keys[right] = Infinity;
      const after = this.#next[right]!;
      this.#next[left] = after;
      this.#keys[left] = Infinity;
      if (after < length) {
        this.#previous[after] = left;
        this.#push(left, keyOf(this.#tokens[left]!, this.#tokens[after]!));
      }
      const before = this.#previous[left]!;
      if (before >= 0) this.#push(before, keyOf(this.#tokens[before]!, this.#tokens[left]!));
    }
    for (let i = 0; i < length; i = this.#next[i]!) out.push(this.#tokens[i]!);
  }

  #load(tokens: Int32Array, length: number): void {
    if (this.#tokens.length < length) {
      this.#tokens = new Int32Array(length * 2);
      this.#next = new Int32Array(length * 2);
      this.#previous = new Int32Array(length * 2);
      this.#keys = new Float64Array(length * 2);
    }
    for (let i = 0; i < length; i++) {
      this.#tokens[i] = tokens[i]!;
      this.#next[i] = i + 1;
      this.#previous[i] = i - 1;
      this.#keys[i] = Infinity;
    }
  }

  #push(position: number, key: number): void {
    this.#keys[position] = key;
    if (key === Infinity) return;
    const keys = this.#heapKeys;
    const positions = this.#heapPositions;
    let at = keys.push(key) - 1;
    positions.push(position);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(key, position, keys[parent]!, positions[parent]!)) break;
      keys[at] = keys[parent]!;
      positions[at] = positions[parent]!;
      at = parent;
    }
    keys[at] = key;
    positions[at] = position;
  }

  #pop(): [key: number, position: number] {
    const keys = this.#heapKeys;
    const positions = this.#heapPositions;
    const top: [number, number] = [keys[0]!, positions[0]!];
    const key = keys.pop()!;
    const position = positions.pop()!;
    const length = keys.length;
    if (length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      const right = child + 1;
      if (
        right < length &&
        before(keys[right]!, positions[right]!, keys[child]!, positions[child]!)
      ) {
        child = right;
      }
      if (!before(keys[child]!, positions[child]!, key, position)) break;
      keys[at] = keys[child]!;
      positions[at] = positions[child]!;
      at = child;
    }
    keys[at] = key;
    positions[at] = position;
    return top;
  }
}

function before(keyA: number, positionA: number, keyB: number, positionB: number): boolean {
  return keyA < keyB || (keyA === keyB && positionA < positionB);
}
