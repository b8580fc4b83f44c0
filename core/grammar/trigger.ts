// Finds the text that switches a lazy constraint on.

/** Watches the bytes of a text for the first of some texts. */
export class LazyTrigger {
  readonly #triggers: readonly Buffer[];
  #tail = Buffer.alloc(0);
  #found = false;

  constructor(triggers: readonly string[]) {
    this.#triggers = triggers.filter((text) => text !== "").map((text) => Buffer.from(text));
  }

  get found(): boolean {
    return this.#found;
  }

  /** Takes the next bytes; once a trigger is complete, returns the text from its beginning on. */
  push(bytes: Uint8Array): Uint8Array | undefined {
    const text = Buffer.concat([this.#tail, bytes]);
    let first = -1;
    let longest = 0;
    for (const trigger of this.#triggers) {
      const at = text.indexOf(trigger);
      if (at >= 0 && (first < 0 || at < first)) first = at;
      longest = Math.max(longest, trigger.length);
    }
    this.#found = first >= 0;
    this.#tail = text.subarray(Math.max(0, text.length - longest + 1));
    return first >= 0 ? text.subarray(first) : undefined;
  }
}
