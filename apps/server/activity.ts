// How many requests are in work, and the end of a server's life: nothing new, what runs may finish.

export class Activity {
  #inFlight = 0;
  #draining = false;
  #wake: () => void = () => {};

  /** No more requests are taken. */
  get draining(): boolean {
    return this.#draining;
  }

  enter(): void {
    this.#inFlight++;
  }

  leave(): void {
    this.#inFlight--;
    if (this.#inFlight === 0) this.#wake();
  }

  /** Takes no more requests, and waits until those in work are answered, at most `ms`. */
  async drain(ms: number): Promise<void> {
    this.#draining = true;
    if (this.#inFlight === 0) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
  }
}
