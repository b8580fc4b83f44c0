// Texts that end DRY's search for repetitions, found in tokens however they are cut.
import type { SamplerContext } from "../../core/index.ts";

/** More tokens than this of a breaker's tail are not compared. */
const longestTail = 20;

/**
 * A token breaks when its text holds a breaker; or it ends with the beginning of one and the tokens
 * after it are those of the rest. Only tokens of the text are looked at, once each.
 */
export class SequenceBreakers {
  readonly #texts: readonly string[];
  readonly #context: SamplerContext;
  readonly #tails = new Map<number, readonly (readonly number[])[]>();

  constructor(texts: readonly string[], context: SamplerContext) {
    this.#texts = context.piece === undefined ? [] : texts.filter((text) => text.length > 0);
    this.#context = context;
  }

  /** Whether the token alone is, or holds, a breaker. */
  isBreaker(token: number): boolean {
    return this.#tailsOf(token).some((tail) => tail.length === 0);
  }

  /** How many of the last `length` tokens come after the latest breaker; `length` without one. */
  distance(tokens: readonly number[], length: number): number {
    for (let back = 0; back < length; back++) {
      const position = tokens.length - 1 - back;
      let longest = -1;
      for (const tail of this.#tailsOf(tokens[position]!)) {
        if (tail.length > longest && tail.length <= back) {
          const matches = tail.every((token, i) => tokens[position + 1 + i] === token);
          if (matches) longest = tail.length;
        }
      }
      if (longest >= 0) return back - longest;
    }
    return length;
  }

  #tailsOf(token: number): readonly (readonly number[])[] {
    let tails = this.#tails.get(token);
    if (tails === undefined) {
      const word = this.#context.piece?.(token) ?? "";
      tails = this.#texts.flatMap((text) => this.#overlaps(word, text));
      this.#tails.set(token, tails);
    }
    return tails;
  }

  #overlaps(word: string, text: string): number[][] {
    if (word.includes(text)) return [[]];
    const tails: number[][] = [];
    for (let start = Math.max(0, word.length - text.length + 1); start < word.length; start++) {
      const begin = word.slice(start);
      if (!text.startsWith(begin)) continue;
      const rest = this.#context.tokenize?.(text.slice(begin.length)) ?? [];
      if (rest.length > 0) tails.push(rest.slice(0, longestTail));
    }
    return tails;
  }
}
