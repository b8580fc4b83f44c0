// Prints a runtime's tape, with the time of each op in a decode and in a prefill step.
import type { Runtime } from "../../core/index.ts";
import { decode, prefill } from "./steps.ts";

const decodeSteps = 8;
const prefillTokens = 128;

export function printTape(runtime: Runtime, timed: boolean): void {
  const listing = runtime.tape.listing();
  if (!timed) {
    console.log(listing.join("\n"));
    return;
  }
  const tokens = Math.min(prefillTokens, runtime.contextLength);
  const decoding = timesOf(runtime, () => decode(runtime, 0, 1, decodeSteps), decodeSteps);
  const reading = timesOf(runtime, () => prefill(runtime, tokens), 1);
  console.log(`   decode     prefill ${tokens}   op (microseconds a step)`);
  listing.forEach((text, i) => {
    const [a, b] = [decoding[i] as number, reading[i] as number];
    console.log(`${a.toFixed(1).padStart(9)} ${b.toFixed(1).padStart(12)}   ${text}`);
  });
}

/** Microseconds of each op in one step. */
function timesOf(runtime: Runtime, run: () => void, steps: number): number[] {
  run();
  runtime.tape.timed = true;
  const before = runtime.tape.times().map((time) => time.nanoseconds);
  run();
  runtime.tape.timed = false;
  const after = runtime.tape.times().map((time) => time.nanoseconds);
  return after.map((value, i) => (value - (before[i] as number)) / 1000 / steps);
}
