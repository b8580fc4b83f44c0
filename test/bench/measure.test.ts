// Points, medians and bounds of a bench run; no time is asserted.
import { afterAll, expect, test } from "bun:test";
import { Machine } from "../../apps/bench/machine.ts";
import { contextOf, fractionOfBound, measure, median } from "../../apps/bench/measure.ts";
import { roofline } from "../../apps/bench/roofline.ts";
import { syntheticFile } from "../../apps/bench/synthetic.ts";
import { TrafficModel } from "../../apps/bench/traffic.ts";
import { createRegistry } from "../../apps/plugins.ts";
import { createRuntime, modelOfFile, type Runtime } from "../../core/index.ts";

const registry = await createRegistry();
const machine = new Machine(registry, { threads: 2, bytes: 1 << 20 });
afterAll(() => machine[Symbol.dispose]());

function open(shape: string, layout?: string): Runtime {
  const options = { contextLength: 64, threads: 2, maxSequences: 4, layout };
  return createRuntime(modelOfFile(syntheticFile(shape, 64), registry), options, registry);
}

test("the median of an even number of values is the mean of the middle two", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 10])).toBe(3);
  expect(median([5])).toBe(5);
});

test("the bound is the slower of reading and multiplying, by the neighbouring readings", () => {
  const before = { readGbps: 40, int8Gmacs: 100 };
  const after = { readGbps: 60, int8Gmacs: 300 };
  // 5e8 bytes at 50 GB/s: 10 ms; 1e9 multiply-adds at 200 GMAC/s: 5 ms.
  const sample = { milliseconds: 20, before, after };
  expect(fractionOfBound({ bytes: 5e8, macs: 1e9 }, sample)).toBeCloseTo(0.5, 9);
  expect(fractionOfBound({ bytes: 5e8, macs: 4e9 }, sample)).toBeCloseTo(1, 9);
});

test("the probes give positive finite speeds and name the machine", () => {
  const { readGbps, int8Gmacs } = machine.read();
  expect(readGbps > 0 && Number.isFinite(readGbps)).toBe(true);
  expect(int8Gmacs > 0 && Number.isFinite(int8Gmacs)).toBe(true);
  expect(machine.cpu.length).toBeGreaterThan(0);
});

test("a plan becomes prompts, batches at the first depth, one sequence at the others", () => {
  using runtime = open("small");
  const plan = { prefill: [8, 40], depths: [0, 32], batches: [1, 4], repetitions: 3, steps: 2 };
  const traffic = new TrafficModel(runtime, machine.host);
  const heard: string[] = [];
  const reading = { readGbps: 10, int8Gmacs: 100 };
  const { results, readings } = measure(
    runtime,
    traffic,
    () => reading,
    plan,
    (result) => heard.push(`${result.test} ${result.tokens} ${result.depth} ${result.batch}`),
  );
  expect(heard).toEqual([
    "prefill 8 0 1",
    "prefill 40 0 1",
    "decode 2 0 1",
    "decode 8 0 4",
    "decode 2 32 1",
  ]);
  expect(results.length).toBe(heard.length);
  // One before, one after each run.
  expect(readings.length).toBe(5 * (3 + 1));
  for (const result of results) {
    expect(result.tokensPerSecond).toBeGreaterThan(0);
    expect(result.spread).toBeGreaterThanOrEqual(0);
    expect(result.fractionOfBound).toBeGreaterThan(0);
  }
  expect(contextOf(plan)).toBe(40);
}, 60_000);

test("a decode step reads the packed body, the head and the cache; multiplies the body", () => {
  using runtime = open("small", "t2");
  const traffic = new TrafficModel(runtime, machine.host);
  const [hidden, kv, inner, layers, vocabulary] = [512, 128, 1536, 4, 4096];
  const weights = layers * (2 * hidden * hidden + 2 * hidden * kv + 3 * hidden * inner);
  const head = vocabulary * hidden * 2;
  const position = layers * 2 * kv * 2;
  expect(traffic.decode(1, 0)).toEqual({ bytes: weights / 4 + head, macs: weights });
  expect(traffic.decode(3, 10)).toEqual({
    bytes: weights / 4 + head + 30 * position,
    macs: 3 * weights,
  });
  expect(traffic.prefill(7)).toEqual({ bytes: weights / 4 + head, macs: 7 * weights });
}, 60_000);

test("of a mixture the used experts are read, and multiplied as often as they are used", () => {
  using runtime = open("moe-small", "t2");
  const traffic = new TrafficModel(runtime, machine.host);
  const expert = 3 * 256 * 256;
  const [one, four] = [traffic.decode(1, 0, 4), traffic.decode(1, 0, 8)];
  expect(four.bytes - one.bytes).toBe((4 * expert) / 4);
  expect(four.macs).toBe(one.macs);
  const two = traffic.decode(2, 0, 4);
  const attention = 256 * 256 * 2 + 2 * 256 * 128;
  expect(two.macs - one.macs).toBe(2 * (attention + 2 * expert));
}, 60_000);

test("the roofline draws a point for each result, inside the picture", () => {
  const report = {
    machine: { cpu: "a <cpu>", isa: "avx2", read_gbps: 50, int8_gmacs: 460 },
    results: [],
  };
  const common = { tokens: 8, depth: 0, batch: 1, tokensPerSecond: 1, spread: 0 };
  const results = [
    { ...common, test: "decode", fractionOfBound: 0.9 },
    { ...common, test: "prefill", fractionOfBound: 0.8 },
  ].map((result, i) => ({
    ...(result as { test: "decode" | "prefill" } & typeof common & { fractionOfBound: number }),
    traffic: { bytes: 5e8, macs: i === 0 ? 2e9 : 3e11 },
    milliseconds: i === 0 ? 12 : 700,
  }));
  const svg = roofline(report, results, report.machine.cpu);
  const circles = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)];
  expect(circles.length).toBe(2);
  for (const [, x, y] of circles) {
    expect(Number(x)).toBeGreaterThan(70);
    expect(Number(x)).toBeLessThan(570);
    expect(Number(y)).toBeGreaterThan(40);
    expect(Number(y)).toBeLessThan(400);
  }
  // Higher intensity lies to the right, higher speed above.
  expect(Number(circles[1]?.[1])).toBeGreaterThan(Number(circles[0]?.[1]));
  expect(Number(circles[1]?.[2])).toBeLessThan(Number(circles[0]?.[2]));
  expect(svg).toContain("a &lt;cpu>");
});
