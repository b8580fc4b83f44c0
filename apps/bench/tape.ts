// Prints a runtime's tape, with the time of each op in a decode and in a prefill step.
import type { Runtime } from "../../core/index.ts";
import { median } from "./measure.ts";
import { percent } from "./report.ts";
import { decode, prefill } from "./steps.ts";

const decodeSteps = 8;
const prefillTokens = 128;
/** Timed runs, between readings of the probe. */
const rounds = 5;

/** What the body's linears are compared with. */
export interface BodyBound {
  /** Bytes of weights that one decode step reads in them. */
  readonly bytes: number;
  /** Reads memory; GB/s. */
  readonly probe: () => number;
}

export function printTape(runtime: Runtime): void {
  console.log(runtime.tape.listing().join("\n"));
}

/** With times, and the share of the probe's bandwidth that the body's linears reach in decode. */
export function printTimes(runtime: Runtime, body: BodyBound): void {
  const tokens = Math.min(prefillTokens, runtime.contextLength);
  const shares: number[] = [];
  const rates: number[] = [];
  const decodes: number[][] = [];
  const linears = bodyLinears(runtime);
  let before = body.probe();
  for (let round = 0; round < rounds; round++) {
    const times = timesOf(runtime, () => decode(runtime, 0, 1, decodeSteps), decodeSteps);
    const after = body.probe();
    const microseconds = linears.reduce((sum, i) => sum + (times[i] ?? 0), 0);
    const rate = body.bytes / microseconds / 1000;
    rates.push(rate);
    shares.push(rate / ((before + after) / 2));
    decodes.push(times);
    before = after;
  }
  const reading = timesOf(runtime, () => prefill(runtime, tokens), 1);
  console.log(`   decode     prefill ${tokens}   op (microseconds a step)`);
  runtime.tape.listing().forEach((text, i) => {
    const [a, b] = [median(decodes.map((times) => times[i] as number)), reading[i] as number];
    console.log(`${a.toFixed(1).padStart(9)} ${b.toFixed(1).padStart(12)}   ${text}`);
  });
  if (body.bytes === 0) return;
  const size = `${(body.bytes / 1e6).toFixed(0)} MB`;
  const rate = `${median(rates).toFixed(1)} GB/s`;
  console.log(`body: ${size} of linears at ${rate}, ${percent(median(shares))} of the read probe`);
}

/** Places of the linears that are not the head. */
function bodyLinears(runtime: Runtime): number[] {
  return runtime.tape.times().flatMap(({ name, label }, i) => {
    return name === "linear" && !/^(token_embd|output)\./.test(label) ? [i] : [];
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
