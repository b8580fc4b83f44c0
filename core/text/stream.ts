// Token ids in, text pieces out: never half a character, never a part of a stop string.
import type { Tokenizer } from "./types.ts";

export interface TextStreamOptions {
  /** The text ends before the first of these. Empty strings are ignored. */
  readonly stop?: readonly string[];
  /** Keep the matched stop string in the text. Default false. */
  readonly includeStop?: boolean;
  /** Show special tokens as text. Default false. */
  readonly special?: boolean;
}

/** The longest beginning of one stop string that the text so far ends with (Knuth-Morris-Pratt). */
class StopMatcher {
  readonly stop: string;
  /** UTF-16 units matched. */
  matched = 0;
  readonly #fallback: Int32Array;

  constructor(stop: string) {
    this.stop = stop;
    this.#fallback = new Int32Array(stop.length);
    for (let i = 1, k = 0; i < stop.length; i++) {
      while (k > 0 && stop[i] !== stop[k]) k = this.#fallback[k - 1]!;
      if (stop[i] === stop[k]) k++;
      this.#fallback[i] = k;
    }
  }

  /** Takes one UTF-16 unit; true when the stop string is complete. */
  push(unit: number): boolean {
    while (this.matched > 0 && this.stop.charCodeAt(this.matched) !== unit) {
      this.matched = this.#fallback[this.matched - 1]!;
    }
    if (this.stop.charCodeAt(this.matched) === unit) this.matched++;
    return this.matched === this.stop.length;
  }
}

/**
 * Turns one sequence's tokens into text. The pieces joined are the decoded text up to the first
 * stop string, however the text falls into tokens: the stop string that is complete first wins,
 * and of those complete at once the longest.
 */
export class TextStream {
  readonly #tokenizer: Tokenizer;
  readonly #matchers: readonly StopMatcher[];
  readonly #includeStop: boolean;
  readonly #special: boolean;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #held = "";
  #stop: string | undefined;

  constructor(tokenizer: Tokenizer, options: TextStreamOptions = {}) {
    this.#tokenizer = tokenizer;
    this.#includeStop = options.includeStop ?? false;
    this.#special = options.special ?? false;
    const stops = (options.stop ?? []).filter((stop) => stop.length > 0);
    this.#matchers = stops.map((stop) => new StopMatcher(stop));
  }

  /** The stop string that ended the text, once it did. */
  get stopped(): string | undefined {
    return this.#stop;
  }

  /** Takes the next token; returns the text that may be shown, often "" while something is held. */
  push(token: number): string {
    if (this.#stop !== undefined) return "";
    if (!this.#special && this.#tokenizer.isSpecial(token)) return "";
    return this.#text(this.#decoder.decode(this.#tokenizer.bytes(token), { stream: true }));
  }

  /** The end of the tokens: what was held back, half a character as U+FFFD. */
  finish(): string {
    if (this.#stop !== undefined) return "";
    const text = this.#text(this.#decoder.decode()) + this.#held;
    this.#held = "";
    return text;
  }

  #text(text: string): string {
    const all = this.#held + text;
    for (let i = this.#held.length; i < all.length; i++) {
      const unit = all.charCodeAt(i);
      let found: StopMatcher | undefined;
      for (const matcher of this.#matchers) {
        const complete = matcher.push(unit);
        if (complete && !(found && found.stop.length >= matcher.stop.length)) found = matcher;
      }
      if (found === undefined) continue;
      this.#stop = found.stop;
      this.#held = "";
      return all.slice(0, i + 1 - (this.#includeStop ? 0 : found.stop.length));
    }
    let hold = 0;
    for (const { matched } of this.#matchers) hold = Math.max(hold, matched);
    this.#held = all.slice(all.length - hold);
    return all.slice(0, all.length - hold);
  }
}
