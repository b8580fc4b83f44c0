// Measures a runtime: prefill, decode at depth, batched decode; medians of runs between probe readings.
import type { Runtime } from "../../core/index.ts";
import type { Reading } from "./machine.ts";
import { countExperts, decode, fillCache, prefill } from "./steps.ts";
import type { Traffic, TrafficModel } from "./traffic.ts";

/** One measured point. */
export interface Measurement {
  readonly test: "prefill" | "decode";
  /** Tokens of one run, all sequences together. */
  readonly tokens: number;
  /** Positions already in the cache when it starts. */
  readonly depth: number;
  /** Sequences decoding together. */
  readonly batch: number;
  /** Median of the runs. */
  readonly tokensPerSecond: number;
  /** (slowest - fastest) / median of the runs' times. */
  readonly spread: number;
  /** Median over the runs of (least time by the probes' readings around it) / (its time). */
  readonly fractionOfBound: number;
  /** Of one step (decode), or of the whole prompt. */
  readonly traffic: Traffic;
  /** Milliseconds of one step (decode), or of the whole prompt: median. */
  readonly milliseconds: number;
}

export interface Plan {
  readonly prefill: readonly number[];
  readonly depths: readonly number[];
  readonly batches: readonly number[];
  readonly repetitions: number;
  /** Steps of one decode run. */
  readonly steps: number;
}

/** A point of the plan: `run` does it once. */
interface Point {
  readonly test: Measurement["test"];
  readonly tokens: number;
  readonly depth: number;
  readonly batch: number;
  /** Steps that `traffic` is multiplied with to cover a run. */
  readonly steps: number;
  readonly traffic: Traffic;
  readonly run: () => void;
}

/** Milliseconds of one run, and the readings before and after it. */
export interface Sample {
  readonly milliseconds: number;
  readonly before: Reading;
  readonly after: Reading;
}

/** Positions that the plan needs for one sequence. */
export function contextOf(plan: Plan): number {
  return Math.max(...plan.prefill, ...plan.depths.map((depth) => depth + plan.steps), 1);
}

/**
 * Runs every point of the plan: prompts; one sequence at each depth; each batch at the first depth.
 * `report` hears of each as it is done. Returns all probe readings along.
 */
export function measure(
  runtime: Runtime,
  traffic: TrafficModel,
  probe: () => Reading,
  plan: Plan,
  report: (result: Measurement) => void,
): { results: Measurement[]; readings: Reading[] } {
  const readings: Reading[] = [];
  fillCache(runtime);
  const results = pointsOf(runtime, traffic, plan).map((point) => {
    point.run();
    let before = probe();
    readings.push(before);
    const samples = Array.from({ length: plan.repetitions }, (): Sample => {
      const start = performance.now();
      point.run();
      const milliseconds = performance.now() - start;
      const sample = { milliseconds, before, after: probe() };
      before = sample.after;
      readings.push(before);
      return sample;
    });
    const result = summarize(point, samples);
    report(result);
    return result;
  });
  return { results, readings };
}

function pointsOf(runtime: Runtime, traffic: TrafficModel, plan: Plan): Point[] {
  const prompts = plan.prefill.map((tokens): Point => {
    const run = (): void => prefill(runtime, tokens);
    const shape = { tokens, depth: 0, batch: 1, steps: 1 };
    return { test: "prefill", ...shape, traffic: traffic.prefill(tokens), run };
  });
  const [first = 0] = plan.depths;
  const deep = plan.depths.slice(1).map((depth) => ({ depth, batch: plan.batches[0] ?? 1 }));
  const decodes = [...plan.batches.map((batch) => ({ depth: first, batch })), ...deep].map(
    ({ depth, batch }): Point => {
      const { steps } = plan;
      const experts = countExperts(runtime, depth, batch, steps);
      return {
        test: "decode",
        tokens: steps * batch,
        depth,
        batch,
        steps,
        traffic: traffic.decode(batch, depth + steps / 2, experts),
        run: () => decode(runtime, depth, batch, steps),
      };
    },
  );
  return [...prompts, ...decodes];
}

function summarize(point: Omit<Point, "run">, samples: readonly Sample[]): Measurement {
  const { test, tokens, depth, batch, steps, traffic } = point;
  const times = samples.map((sample) => sample.milliseconds);
  const middle = median(times);
  const whole = { bytes: traffic.bytes * steps, macs: traffic.macs * steps };
  return {
    test,
    tokens,
    depth,
    batch,
    tokensPerSecond: (1000 * tokens) / middle,
    spread: (Math.max(...times) - Math.min(...times)) / middle,
    fractionOfBound: median(samples.map((sample) => fractionOfBound(whole, sample))),
    traffic,
    milliseconds: middle / steps,
  };
}

/** The least time that reading and multiplying may take by the neighbouring readings, over the time. */
export function fractionOfBound(traffic: Traffic, sample: Sample): number {
  const { before, after, milliseconds } = sample;
  const gbps = (before.readGbps + after.readGbps) / 2;
  const gmacs = (before.int8Gmacs + after.int8Gmacs) / 2;
  const least = Math.max(traffic.bytes / gbps, traffic.macs / gmacs) / 1e6;
  return least / milliseconds;
}

/** The middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(half) - 1], sorted[Math.floor(half)]];
  return ((low as number) + (high as number)) / 2;
}
