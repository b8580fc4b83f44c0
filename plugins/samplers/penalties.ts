// Repetition, presence and frequency penalties over the last tokens of the sequence.
import { Type } from "@sinclair/typebox";
import { type Candidates, indexOfToken, type Sampler, type SamplerLink } from "../../core/index.ts";

const options = Type.Object({
  repeat_last_n: Type.Integer({
    default: 64,
    minimum: -1,
    description: "How many of the last tokens the penalties look at; 0 = off, -1 = all.",
  }),
  repeat_penalty: Type.Number({
    default: 1,
    exclusiveMinimum: 0,
    description: "Divides positive and multiplies negative logits of tokens seen; 1 = off.",
  }),
  presence_penalty: Type.Number({
    default: 0,
    description: "Taken from the logit of each token seen.",
  }),
  frequency_penalty: Type.Number({
    default: 0,
    description: "Taken from the logit of a token once for each time it was seen.",
  }),
});

/**
 * For a token seen c > 0 times among the last n, prompt included:
 * l = l <= 0 ? l * repeat : l / repeat (Keskar et al., 2019); l -= c * frequency + presence.
 */
export const penalties: Sampler<typeof options> = {
  name: "penalties",
  letter: "e",
  options,
  create(o) {
    const without = o.repeat_penalty === 1 && o.presence_penalty === 0 && o.frequency_penalty === 0;
    if (o.repeat_last_n === 0 || without) return undefined;
    return new Penalties(
      o.repeat_last_n,
      Math.fround(o.repeat_penalty),
      o.presence_penalty,
      o.frequency_penalty,
    );
  },
};

class Penalties implements SamplerLink {
  readonly #last: number;
  readonly #repeat: number;
  readonly #presence: number;
  readonly #frequency: number;
  readonly #ring: number[] = [];
  #oldest = 0;
  readonly #counts = new Map<number, number>();

  /** @param last -1 = all tokens */
  constructor(last: number, repeat: number, presence: number, frequency: number) {
    this.#last = last;
    this.#repeat = repeat;
    this.#presence = presence;
    this.#frequency = frequency;
  }

  get lowers(): number | undefined {
    const onlyLowers = this.#repeat >= 1 && this.#presence >= 0 && this.#frequency >= 0;
    return onlyLowers ? this.#counts.size : undefined;
  }

  accept(token: number): void {
    this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
    if (this.#last < 0) return;
    if (this.#ring.length < this.#last) {
      this.#ring.push(token);
      return;
    }
    const gone = this.#ring[this.#oldest]!;
    this.#ring[this.#oldest] = token;
    this.#oldest = (this.#oldest + 1) % this.#last;
    const left = this.#counts.get(gone)! - 1;
    if (left > 0) this.#counts.set(gone, left);
    else this.#counts.delete(gone);
  }

  apply(candidates: Candidates): void {
    const { logits } = candidates;
    for (const [token, count] of this.#counts) {
      const at = indexOfToken(candidates, token);
      if (at < 0) continue;
      logits[at] = this.#lower(logits[at]!, count);
      candidates.sorted = false;
    }
  }

  #lower(logit: number, count: number): number {
    const scaled = logit <= 0 ? logit * this.#repeat : logit / this.#repeat;
    return scaled - (count * this.#frequency + this.#presence);
  }
}
