// Prompts of a wanted length for a server whose tokenizer is not known.
import { Random, WrinkleFreeError } from "../../../core/index.ts";
import { type Server, streamCompletion } from "./stream.ts";

const letters = "abcdefghijklmnopqrstuvwxyz";
const trialWords = 64;

/** Random words; equal seeds give equal words. */
export function words(seed: number, count: number): string {
  const random = new Random(seed);
  const letter = (): string => letters[Math.floor(random.double() * letters.length)] ?? "";
  const word = (): string =>
    Array.from({ length: 2 + Math.floor(random.double() * 5) }, letter).join("");
  return Array.from({ length: count }, word).join(" ");
}

/** Makes prompts of about a number of tokens, by what the server counted in a first one. */
export class Prompts {
  readonly #tokensPerWord: number;
  readonly #base: number;
  #next = 0;

  private constructor(tokensPerWord: number, seed: number) {
    this.#tokensPerWord = tokensPerWord;
    this.#base = seed;
  }

  /** Asks the server for one token. Throws `unavailable` where it does not answer that. */
  static async calibrate(server: Server, seed: number): Promise<Prompts> {
    const trial = await streamCompletion(server, words(seed, trialWords), { maxTokens: 1 });
    if (trial.error === undefined && trial.promptTokens > 0) {
      return new Prompts(trial.promptTokens / trialWords, seed);
    }
    const why = trial.error ?? "it counts no tokens (stream_options.include_usage)";
    throw new WrinkleFreeError("unavailable", `${server.url} does not complete prompts: ${why}`, {
      flag: "--url",
      hint: "It must answer POST /v1/completions with stream and usage.",
    });
  }

  /** A prompt that begins as no other one does. */
  fresh(tokens: number): string {
    this.#next++;
    return words(this.#base + this.#next, Math.max(1, Math.round(tokens / this.#tokensPerWord)));
  }
}
