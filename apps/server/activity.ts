// How many requests are in work, and the end of a server's life: nothing new, what runs may finish.

export class Activity {
  #inFlight = 0;
  #leaving = false;
  #draining = false;
  #wake: () => void = () => {};

  /** The server will end soon: probes say so, requests are still taken. */
  get leaving(): boolean {
    return this.#leaving;
  }

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

  /** For `ms`, requests are taken while probes tell balancers to send no more. */
  async announce(ms: number): Promise<void> {
    this.#leaving = true;
    if (ms > 0) await Bun.sleep(ms);
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
