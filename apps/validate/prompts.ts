// Prompts that no cache has seen before: the same for the same seed.
import { Random } from "../../core/index.ts";

const words =
  "the a one old new red blue small great quiet early river house garden window letter morning " +
  "winter road bridge boat lamp story friend child teacher song tree stone bird light water was " +
  "is had went came saw found gave took told kept lost made near under over with from about";

export class Prompts {
  readonly #random: Random;
  readonly #words = words.split(" ");
  #next = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  /** `count` words of plain prose, in sentences. */
  prose(count: number): string {
    const list: string[] = [];
    for (let i = 0; i < count; i++) {
      const word = this.#words[this.#random.uint32() % this.#words.length]!;
      const starts = i % 12 === 0;
      const ends = i % 12 === 11;
      const text = starts ? word[0]!.toUpperCase() + word.slice(1) : word;
      list.push(ends ? `${text}.` : text);
    }
    return list.join(" ");
  }

  /** Short prompts that differ from their first word on. */
  openings(count: number): string[] {
    return Array.from({ length: count }, () => {
      this.#next += 1;
      return `${this.prose(6)} Chapter ${this.#next}. ${this.prose(18)} Once upon a time`;
    });
  }
}
