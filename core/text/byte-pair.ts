// Byte-level BPE built straight from a file's arrays: no strings, no objects, one table a kind.
import { MergeQueue, type Merges } from "./merges.ts";
import type { PreTokenizer } from "./pre-tokenizers.ts";
import type { TokenizerModel } from "./text-tokenizer.ts";
import type { TokenTable } from "./token-table.ts";

/** Words up to this many bytes are remembered with their tokens; so many of them. */
const cacheLimits = { bytes: 48, words: 20_000 };
/** Up to so many tokens, looking at all pairs is faster than a heap. */
const short = 24;

/** A model whose words come from one family's patterns. Encoding never fails: bytes are tokens. */
export class BytePairModel implements TokenizerModel {
  readonly size: number;
  readonly #table: TokenTable;
  readonly #merges: Merges;
  readonly #pre: PreTokenizer;
  readonly #patterns: readonly RegExp[];
  /** The token of each byte; -1: the vocabulary has none, and the byte is lost. */
  readonly #ofByte = new Int32Array(256);
  readonly #cache = new Map<string, readonly number[]>();
  readonly #queue = new MergeQueue();
  readonly #encoder = new TextEncoder();
  #bytes = new Uint8Array(256);
  #tokens = new Int32Array(256);

  constructor(table: TokenTable, merges: Merges, pre: PreTokenizer) {
    this.size = table.size;
    this.#table = table;
    this.#merges = merges;
    this.#pre = pre;
    this.#patterns = pre.patterns.map(compile);
    for (let byte = 0; byte < 256; byte++) {
      this.#ofByte[byte] = table.find(Uint8Array.of(byte), 0, 1);
    }
  }

  encode(text: string, _first: boolean, out: number[]): void {
    let words = [this.#pre.nfc ? text.normalize("NFC") : text];
    for (const pattern of this.#patterns) {
      if (words.length === 1) words = split(words[0]!, pattern);
      else words = words.flatMap((word) => split(word, pattern));
    }
    for (const word of words) this.#word(word, out);
  }

  bytes(token: number): Uint8Array {
    return this.#table.bytes(token);
  }

  id(text: string): number | undefined {
    const bytes = this.#encoder.encode(text);
    const token = this.#table.find(bytes, 0, bytes.length);
    return token < 0 ? undefined : token;
  }

  #word(word: string, out: number[]): void {
    const known = this.#cache.get(word);
    if (known !== undefined) {
      for (const token of known) out.push(token);
      return;
    }
    if (this.#bytes.length < word.length * 3) {
      this.#bytes = new Uint8Array(word.length * 4);
      this.#tokens = new Int32Array(word.length * 4);
    }
    const length = this.#encoder.encodeInto(word, this.#bytes).written;
    const from = out.length;
    const whole = this.#pre.ignoreMerges ? this.#table.find(this.#bytes, 0, length) : -1;
    if (whole >= 0) out.push(whole);
    else this.#merge(length, out);
    if (length > cacheLimits.bytes) return;
    if (this.#cache.size >= cacheLimits.words) this.#cache.clear();
    this.#cache.set(word, out.slice(from));
  }

  #merge(bytes: number, out: number[]): void {
    const tokens = this.#tokens;
    let length = 0;
    for (let i = 0; i < bytes; i++) {
      const token = this.#ofByte[this.#bytes[i]!]!;
      if (token >= 0) tokens[length++] = token;
    }
    if (length > short) {
      this.#queue.run(tokens, length, this.#key, this.#merged, out);
      return;
    }
    while (length > 1) {
      let best = -1;
      let rank = Infinity;
      for (let i = 0; i < length - 1; i++) {
        const place = this.#merges.find(tokens[i]!, tokens[i + 1]!);
        if (place < 0 || this.#merges.rankAt(place) >= rank) continue;
        rank = this.#merges.rankAt(place);
        best = i;
      }
      if (best < 0) break;
      tokens[best] = this.#merged(tokens[best]!, tokens[best + 1]!);
      tokens.copyWithin(best + 1, best + 2, length);
      length--;
    }
    for (let i = 0; i < length; i++) out.push(tokens[i]!);
  }

  #key = (left: number, right: number): number => {
    const place = this.#merges.find(left, right);
    return place < 0 ? Infinity : this.#merges.rankAt(place);
  };

  #merged = (left: number, right: number): number =>
    this.#merges.mergedAt(this.#merges.find(left, right));
}

/** JavaScript's \s holds U+FEFF and lacks U+0085; the vocabularies' white space is Unicode's. */
function compile(pattern: string): RegExp {
  const unicode = pattern
    .replaceAll("\\s", "\\p{White_Space}")
    .replaceAll("\\S", "\\P{White_Space}");
  return new RegExp(unicode, "gu");
}

/** The pattern's matches, and what lies between them. */
function split(text: string, pattern: RegExp): string[] {
  const words: string[] = [];
  let last = 0;
  pattern.lastIndex = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > last) words.push(text.slice(last, match.index));
    if (match[0].length > 0) words.push(match[0]);
    last = match.index + match[0].length;
  }
  if (last < text.length) words.push(text.slice(last));
  return words;
}
