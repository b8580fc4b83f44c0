// Runs `wrinklefree bench`: opens the model, measures or prints its tape, reports.
import {
  createRuntime,
  modelOfFile,
  openRuntime,
  type Runtime,
  type RuntimeOptions,
} from "../../core/index.ts";
import { createRegistry } from "../plugins.ts";

import { decode, type Measurement, measure, prefill } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { syntheticFile } from "./shapes.ts";

export async function runBench(options: BenchOptions): Promise<void> {
  using runtime = await open(options);
  if (options.tape) {
    printTape(runtime, options.time ?? false);
    return;
  }
  const { info } = runtime;
  if (!options.json) {
    console.log(
      `${info.name}: ${info.quantization} as ${info.layout}, ${info.isa}, ${info.threads} threads`,
    );
  }
  const plan = {
    prefill: options.prefill,
    depths: options.depth,
    batches: options.batch,
    repetitions: options.repetitions,
    steps: options.steps,
  };
  const results = measure(runtime, plan, (result) => {
    if (!options.json) console.log(line(result));
  });
  if (options.json)
    console.log(JSON.stringify({ engine: "wrinklefree", shape: info.name, results }));
}

function line(result: Measurement): string {
  const what =
    result.test === "prefill"
      ? `prefill ${result.tokens}`
      : `decode, depth ${result.depth}, batch ${result.batch}`;
  const speed = result.tokensPerSecond.toFixed(1).padStart(8);
  return `${what.padEnd(32)} ${speed} tokens/s  (spread ${(100 * result.spread).toFixed(0)} %)`;
}

function printTape(runtime: Runtime, timed: boolean): void {
  const listing = runtime.tape.listing();
  if (!timed) {
    console.log(listing.join("\n"));
    return;
  }
  const decoding = timesOf(runtime, () => decode(runtime, 0, 1, 8), 8);
  const reading = timesOf(runtime, () => prefill(runtime, 128), 1);
  console.log("   decode     prefill 128   op (microseconds a step)");
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

async function open(options: BenchOptions): Promise<Runtime> {
  const registry = await createRegistry();
  const own: Omit<RuntimeOptions, "model"> = {
    contextLength: options.ctxSize,
    threads: options.threads,
    isa: options.isa,
    layout: options.layout,
    head: options.head,
    maxSequences: Math.max(1, ...options.batch),
    cacheTypeK: options.cacheTypeK,
    cacheTypeV: options.cacheTypeV,
  };
  if (options.model) return openRuntime({ ...own, model: options.model }, registry);
  return createRuntime(
    modelOfFile(syntheticFile(options.shape, options.ctxSize), registry),
    own,
    registry,
  );
}
