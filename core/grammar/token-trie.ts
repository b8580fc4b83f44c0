// All tokens of a vocabulary as a tree of their bytes, in an order that can be walked in one pass.
import type { Tokenizer } from "../text/types.ts";
import { type CharacterAutomaton, complete, dead } from "./characters.ts";

/** Tokens that a run of characters of one class reaches, and where others are. */
export interface Slice {
  /** Characters, begun ones included, of the longest token within the class; at most 254. */
  readonly longest: number;
  /** Bit set of the tokens of at most `length` characters, all in the class. */
  within(length: number): Uint32Array;
  /**
   * For each node: characters of the longest token in its subtree if all of them are within the
   * class, else 255.
   */
  readonly need: Uint8Array;
}

const outside = 255;
const noToken = -1;

/**
 * Nodes in depth-first order: `bytes[i]` leads to node i, whose subtree is i + 1 .. ends[i] - 1.
 * Control tokens and empty ones are left out: a grammar's text never holds them.
 */
export class TokenTrie {
  readonly vocabularySize: number;
  readonly bytes: Uint8Array;
  readonly depths: Uint16Array;
  readonly ends: Int32Array;
  /** First token of each node or -1; `sameBytes` leads to more tokens of the same bytes. */
  readonly tokens: Int32Array;
  readonly sameBytes: Int32Array;
  readonly #slices = new Map<string, Slice>();

  constructor(tokenizer: Tokenizer) {
    this.vocabularySize = tokenizer.vocabularySize;
    this.sameBytes = new Int32Array(this.vocabularySize).fill(noToken);
    const texts = new Map<number, Uint8Array>();
    let most = 1;
    for (let token = 0; token < this.vocabularySize; token++) {
      if (tokenizer.isSpecial(token) || tokenizer.endTokens.has(token)) continue;
      const bytes = tokenizer.bytes(token);
      if (bytes.length === 0) continue;
      texts.set(token, bytes);
      most += bytes.length;
    }
    const builder = new Builder(most);
    for (const [token, bytes] of texts) this.sameBytes[token] = builder.insert(bytes, token);
    const { bytes, depths, ends, tokens } = builder.order();
    this.bytes = bytes;
    this.depths = depths;
    this.ends = ends;
    this.tokens = tokens;
  }

  /** The slice of a character class; `key` names the class. */
  slice(key: string, automaton: CharacterAutomaton): Slice {
    let slice = this.#slices.get(key);
    if (slice === undefined) {
      if (this.#slices.size >= 64) this.#slices.clear();
      slice = makeSlice(this, automaton);
      this.#slices.set(key, slice);
    }
    return slice;
  }

  /** Sets the bits of all tokens that end at a node. */
  mark(node: number, into: Uint32Array): void {
    for (let token = this.tokens[node]!; token >= 0; token = this.sameBytes[token]!) {
      into[token >> 5]! |= 1 << (token & 31);
    }
  }
}

/** Builds the tree with child lists and a hash table of its edges, then numbers it depth first. */
class Builder {
  readonly #byte: Uint8Array;
  readonly #token: Int32Array;
  readonly #child: Int32Array;
  readonly #sibling: Int32Array;
  /** Open addressing: child nodes by (parent, byte); 0 = free. */
  readonly #edges: Int32Array;
  readonly #parent: Int32Array;
  #size = 1;

  /** @param most nodes at most */
  constructor(most: number) {
    this.#byte = new Uint8Array(most);
    this.#token = new Int32Array(most).fill(noToken);
    this.#child = new Int32Array(most);
    this.#sibling = new Int32Array(most);
    this.#parent = new Int32Array(most);
    this.#edges = new Int32Array(2 ** Math.ceil(Math.log2(most * 2)));
  }

  /** Returns the token that had these bytes before, or -1. */
  insert(bytes: Uint8Array, token: number): number {
    let node = 0;
    for (let i = 0; i < bytes.length; i++) node = this.#step(node, bytes[i]!);
    const previous = this.#token[node]!;
    this.#token[node] = token;
    return previous;
  }

  #step(parent: number, byte: number): number {
    const wrap = this.#edges.length - 1;
    let slot = Math.imul(parent * 256 + byte, 0x9e3779b1) >>> 8;
    for (;;) {
      slot &= wrap;
      const node = this.#edges[slot]!;
      if (node === 0) break;
      if (this.#parent[node] === parent && this.#byte[node] === byte) return node;
      slot++;
    }
    const node = this.#size++;
    this.#edges[slot] = node;
    this.#byte[node] = byte;
    this.#parent[node] = parent;
    this.#sibling[node] = this.#child[parent]!;
    this.#child[parent] = node;
    return node;
  }

  order() {
    const count = this.#size - 1;
    const bytes = new Uint8Array(count);
    const depths = new Uint16Array(count);
    const ends = new Int32Array(count);
    const tokens = new Int32Array(count);
    const path: number[] = [];
    const nodes: number[] = [];
    let next = 0;
    for (let node = this.#child[0]!; node !== 0; ) {
      bytes[next] = this.#byte[node]!;
      depths[next] = path.length;
      tokens[next] = this.#token[node]!;
      path.push(next++);
      nodes.push(node);
      let following = this.#child[node]!;
      while (following === 0 && path.length > 0) {
        ends[path.pop()!] = next;
        following = this.#sibling[nodes.pop()!]!;
      }
      node = following;
    }
    return { bytes, depths, ends, tokens };
  }
}

function makeSlice(trie: TokenTrie, { table }: CharacterAutomaton): Slice {
  const count = trie.bytes.length;
  const need = new Uint8Array(count);
  // Along the path: automaton state (-1 = left the class) and characters begun.
  const states = new Int32Array(65536);
  const lengths = new Int32Array(65536);
  for (let node = 0; node < count; node++) {
    const depth = trie.depths[node]!;
    const before = depth === 0 ? 0 : states[depth - 1]!;
    const length = depth === 0 ? 0 : lengths[depth - 1]!;
    const step = before < 0 ? dead : table[before * 256 + trie.bytes[node]!]!;
    states[depth] = step === dead ? -1 : step === complete ? 0 : step;
    lengths[depth] = before === 0 ? length + 1 : length;
    if (step === dead) need[node] = outside;
    else need[node] = Math.min(lengths[depth]!, outside);
  }
  const byLength = tokensByLength(trie, need);
  // A node's need is the largest below it: children come after their parents.
  for (let node = count - 1; node >= 0; node--) {
    let most = trie.tokens[node]! >= 0 ? need[node]! : need[node] === outside ? outside : 0;
    for (let child = node + 1; child < trie.ends[node]!; child = trie.ends[child]!) {
      most = Math.max(most, need[child]!);
    }
    need[node] = most;
  }
  return { need, longest: byLength.length - 1, within: accumulate(byLength, trie) };
}

/** Nodes with tokens within the class, by the characters they take. */
function tokensByLength(trie: TokenTrie, need: Uint8Array): number[][] {
  const byLength: number[][] = [[]];
  for (let node = 0; node < need.length; node++) {
    const length = need[node]!;
    if (length === outside || trie.tokens[node]! < 0) continue;
    while (byLength.length <= length) byLength.push([]);
    byLength[length]!.push(node);
  }
  return byLength;
}

function accumulate(byLength: readonly number[][], trie: TokenTrie): Slice["within"] {
  const sets: Uint32Array[] = [new Uint32Array((trie.vocabularySize + 31) >> 5)];
  return (length) => {
    const wanted = Math.min(length, byLength.length - 1);
    while (sets.length <= wanted) {
      const set = sets.at(-1)!.slice();
      for (const node of byLength[sets.length]!) trie.mark(node, set);
      sets.push(set);
    }
    return sets[wanted]!;
  };
}
