// A progress bar on a terminal's standard error: share, rate, time left.
import type { Progress } from "./options.ts";

/** Share of the whole work that comes before a phase, and its own. */
const shares = { fetch: [0, 1], write: [0, 0.5], verify: [0.5, 0.5] } as const;

const barColumns = 24;

export class Meter {
  #phase = "";
  #started = performance.now();
  #first = 0;
  #drawn = 0;
  #line = 0;

  readonly show = ({ phase, tensor, bytes, totalBytes }: Progress): void => {
    const now = performance.now();
    if (!process.stderr.isTTY || (now - this.#drawn < 100 && bytes < totalBytes)) return;
    this.#drawn = now;
    if (phase !== this.#phase) {
      this.#phase = phase;
      this.#started = now;
      this.#first = bytes;
    }
    const [before, share] = shares[phase];
    const done = bytes / Math.max(totalBytes, 1);
    const rate = (bytes - this.#first) / Math.max((now - this.#started) / 1000, 0.001);
    const left = ((totalBytes - bytes) / Math.max(rate, 1)).toFixed(0);
    const whole = before + share * done;
    const filled = Math.round(whole * barColumns);
    const bar = "#".repeat(filled).padEnd(barColumns, ".");
    const speed = `${(rate / 2 ** 20).toFixed(0)} MiB/s  ${left} s left`;
    const line = `${phase} [${bar}] ${(100 * whole).toFixed(0)} %  ${speed}  ${tensor}`;
    // A line that wraps could not be drawn over.
    const text = line.slice(0, (process.stderr.columns || 80) - 1);
    process.stderr.write(`\r${text.padEnd(this.#line)}`);
    this.#line = text.length;
  };

  clear(): void {
    if (this.#line > 0) process.stderr.write(`\r${" ".repeat(this.#line)}\r`);
    this.#line = 0;
  }
}
