// Random numbers of the samplers: mt19937 and the draws that libstdc++ makes from it.

const size = 624;
const shift = 397;

/**
 * The 32-bit Mersenne Twister of Matsumoto and Nishimura (1998), `std::mt19937`. A seed gives the
 * same numbers on every machine.
 */
export class Random {
  readonly #state = new Uint32Array(size);
  #next = size;

  /** @param seed unsigned 32-bit */
  constructor(seed: number) {
    const state = this.#state;
    state[0] = seed >>> 0;
    for (let i = 1; i < size; i++) {
      const previous = state[i - 1]! ^ (state[i - 1]! >>> 30);
      state[i] = Math.imul(1812433253, previous) + i;
    }
  }

  /** Uniform over 0 .. 2^32 - 1. */
  uint32(): number {
    if (this.#next >= size) this.#twist();
    let y = this.#state[this.#next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /**
   * Uniform in [0, 1): libstdc++'s generate_canonical<double, 53>, two numbers a draw, the first
   * the low word.
   */
  double(): number {
    const low = this.uint32();
    const value = (low + this.uint32() * 2 ** 32) / 2 ** 64;
    return value < 1 ? value : 1 - 2 ** -53;
  }

  /** Uniform in [0, 1): generate_canonical<float, 24>, one number a draw. */
  float(): number {
    const value = Math.fround(Math.fround(this.uint32()) / 2 ** 32);
    return value < 1 ? value : 1 - 2 ** -24;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < size; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % size]! & 0x7fffffff);
      state[i] = state[(i + shift) % size]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}
