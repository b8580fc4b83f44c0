// Streams that never stop: random prompts, some hung up on; each whole answer must be the known one.
import { Prompts } from "../../apps/bench/http/prompts.ts";
import { gaps } from "../../apps/bench/http/statistics.ts";
import { type StreamResult, streamCompletion } from "../../apps/bench/http/stream.ts";
import { Random } from "../../core/index.ts";

/** What has happened so far. */
export interface Counts {
  answers: number;
  /** Hung up on by us. */
  cancelled: number;
  /** Refused, broken off, or with too few tokens. */
  lost: number;
  /** Whole, but another text than the prompt's answer alone. */
  mixed: number;
  tokens: number;
  firstError?: string;
}

interface Known {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly text: string;
}

const prompts = 32;
/** Share of the streams that we leave before their end. */
const hungUp = 0.1;
const short = { prompt: 8, generate: 2 } as const;

export class Load {
  readonly counts: Counts = { answers: 0, cancelled: 0, lost: 0, mixed: 0, tokens: 0 };
  readonly #url: string;
  readonly #prompts: Prompts;
  readonly #random: Random;
  readonly #known: Known[] = [];
  #gaps: number[] = [];

  private constructor(url: string, made: Prompts, seed: number) {
    this.#url = url;
    this.#prompts = made;
    this.#random = new Random(seed);
  }

  /** Asks for the answer to every prompt alone first: the answers to expect. */
  static async prepare(url: string, seed: number): Promise<Load> {
    const load = new Load(url, await Prompts.calibrate({ url }, seed), seed);
    for (let i = 0; i < prompts; i++) {
      const prompt = load.#prompts.fresh(16 + 8 * i);
      const maxTokens = 16 + 2 * i;
      const { text, stream } = await load.#ask(prompt, maxTokens);
      if (stream.error !== undefined) throw new Error(stream.error);
      load.#known.push({ prompt, maxTokens, text });
    }
    return load;
  }

  /** Gaps between tokens in ms since the last call. */
  takeGaps(): number[] {
    const taken = this.#gaps;
    this.#gaps = [];
    return taken;
  }

  /** One stream after the other until `end` (performance.now). */
  async stream(end: number): Promise<void> {
    while (performance.now() < end) {
      const known = this.#known[Math.floor(this.#random.double() * prompts)] as Known;
      const leaves = this.#random.double() < hungUp;
      await this.#one(known, leaves ? Math.ceil(this.#random.double() * 12) : undefined);
    }
  }

  /** `count` new short prompts, `streams` at a time. */
  async shortRequests(count: number, streams: number): Promise<void> {
    let left = count;
    const worker = async (): Promise<void> => {
      while (left-- > 0) {
        const { stream } = await this.#ask(this.#prompts.fresh(short.prompt), short.generate);
        this.#book(stream, short.generate);
      }
    };
    await Promise.all(Array.from({ length: streams }, worker));
  }

  async #one({ prompt, maxTokens, text }: Known, leaveAfter?: number): Promise<void> {
    const answer = await this.#ask(prompt, maxTokens, leaveAfter);
    if (answer.left) this.counts.cancelled++;
    else if (this.#book(answer.stream, maxTokens) && answer.text !== text) this.counts.mixed++;
  }

  /** Counts an answer that should be whole; whether it is. */
  #book(stream: StreamResult, maxTokens: number): boolean {
    const { error, completionTokens } = stream;
    if (error === undefined && completionTokens === maxTokens) {
      this.counts.answers++;
      this.counts.tokens += completionTokens;
      return true;
    }
    this.counts.lost++;
    this.counts.firstError ??= error ?? `${completionTokens} of ${maxTokens} tokens`;
    return false;
  }

  async #ask(prompt: string, maxTokens: number, leaveAfter = Infinity) {
    const hangUp = new AbortController();
    let text = "";
    let pieces = 0;
    const onText = (piece: string): void => {
      text += piece;
      if (++pieces >= leaveAfter) hangUp.abort();
    };
    const options = { maxTokens, onText, signal: hangUp.signal };
    const stream = await streamCompletion({ url: this.#url }, prompt, options);
    for (const gap of gaps(stream.arrivals)) this.#gaps.push(gap);
    return { text, stream, left: hangUp.signal.aborted };
  }
}
