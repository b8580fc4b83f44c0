// Runs `wrinklefree bench`: opens the model, measures it beside the machine's bounds, reports.
import { renameSync, writeFileSync } from "node:fs";
import {
  createRuntime,
  type Model,
  modelOfFile,
  openModel,
  type Registry,
  type Runtime,
  resolvePlugins,
} from "../../core/index.ts";
import { findModelFile } from "../manage/find.ts";
import { createRegistry } from "../plugins.ts";
import { cacheBytes } from "./cache-bytes.ts";
import { compare, comparisonTable, readReport } from "./compare.ts";
import { Machine } from "./machine.ts";
import { contextOf, type Measurement, measure, median, type Plan } from "./measure.ts";
import { besideNeighbours, neighbourLines } from "./neighbours.ts";
import type { BenchOptions } from "./options.ts";
import {
  type BenchReport,
  expertLine,
  percent,
  resultLine,
  round,
  tableHead,
  tableRow,
} from "./report.ts";
import { roofline } from "./roofline.ts";
import { syntheticFile } from "./synthetic.ts";
import { printTape, printTimes } from "./tape.ts";
import { TrafficModel } from "./traffic.ts";

export async function runBench(options: BenchOptions): Promise<void> {
  if (options.url !== undefined) {
    const { runLoadTest } = await import("./http/run.ts");
    return runLoadTest({ ...options, url: options.url });
  }
  const plugins = await resolvePlugins(options.plugin ?? [], process.cwd());
  const registry = await createRegistry(plugins);
  if (options.load) {
    const { runLoad } = await import("./load.ts");
    return runLoad(options, registry);
  }
  const old = options.compare === undefined ? undefined : readReport(options.compare);
  using runtime = await open(options, registry);
  if (options.tape) return showTape(options, registry, runtime);
  if (options.neighbours !== undefined) {
    const found = await besideNeighbours(runtime, { ...options, neighbours: options.neighbours });
    console.log(options.json ? JSON.stringify(found) : neighbourLines(found));
    return;
  }
  const { report, results } = measureAll(options, registry, runtime);
  if (options.svg !== undefined) {
    const svg = roofline(report, results, `${nameOf(options, runtime)}, ${report.machine.cpu}`);
    writeFileSync(`${options.svg}.part`, svg);
    renameSync(`${options.svg}.part`, options.svg);
  }
  if (options.json) console.log(JSON.stringify(report));
  if (!old) return;
  const pairs = compare(old.results, report.results, options.tolerance);
  (options.json ? console.error : console.log)(`\n${comparisonTable(pairs)}`);
  if (pairs.some((pair) => pair.slower)) process.exitCode = 1;
}

function showTape(options: BenchOptions, registry: Registry, runtime: Runtime): void {
  if (!options.time) {
    printTape(runtime);
    return;
  }
  using machine = new Machine(registry, { isa: options.isa, threads: runtime.info.threads });
  const { bodyBytes } = new TrafficModel(runtime, machine.host, options);
  printTimes(runtime, { bytes: bodyBytes, probe: () => machine.read().readGbps });
}

function measureAll(
  options: BenchOptions,
  registry: Registry,
  runtime: Runtime,
): { report: BenchReport; results: Measurement[] } {
  const { info } = runtime;
  const { threads } = info;
  using machine = new Machine(registry, { isa: options.isa, threads });
  const say = options.json ? (): void => {} : console.log;
  const way = `${info.layout}, ${runtime.gemm} products, ${info.isa}`;
  say(`${info.name}: ${info.quantization} as ${way}, ${threads} threads`);
  say(`on ${machine.cpu}\n\n${tableHead}`);
  const traffic = new TrafficModel(runtime, machine.host, options);
  const { results, readings } = measure(
    runtime,
    traffic,
    () => machine.read(),
    planOf(options),
    (result) => say(tableRow(result)),
  );
  const gbps = readings.map((reading) => reading.readGbps);
  const gmacs = readings.map((reading) => reading.int8Gmacs);
  say(`\nmachine: ${spread("read", gbps, "GB/s")}, ${spread("int8", gmacs, "GMAC/s")}`);
  const experts = runtime.expertUse();
  if (experts.length > 0) say("\nexperts (tokens each; balance: experts a token if even)");
  for (const [layer, use] of experts.entries()) say(expertLine(use, layer));
  const own = { engine: "wrinklefree", shape: nameOf(options, runtime), threads };
  const report: BenchReport = {
    machine: {
      cpu: machine.cpu,
      isa: machine.isa,
      read_gbps: round(median(gbps), 2),
      int8_gmacs: round(median(gmacs), 1),
    },
    layout: info.layout,
    gemm: runtime.gemm,
    results: results.map((result) => resultLine(result, own)),
    experts: experts.length > 0 ? experts : undefined,
  };
  return { report, results };
}

function spread(what: string, values: readonly number[], unit: string): string {
  const middle = median(values);
  const range = (Math.max(...values) - Math.min(...values)) / middle;
  return `${what} ${middle.toFixed(1)} ${unit} (spread ${percent(range)})`;
}

function nameOf(options: BenchOptions, runtime: Runtime): string {
  return options.model === undefined ? options.shape : runtime.info.name;
}

function planOf(options: BenchOptions): Plan {
  return {
    prefill: options.prefill,
    depths: options.depth,
    batches: options.batch,
    repetitions: options.repetitions,
    steps: options.steps,
  };
}

async function open(options: BenchOptions, registry: Registry): Promise<Runtime> {
  const contextLength = options.ctxSize ?? contextOf(planOf(options));
  const model = options.model
    ? await openModel(await findModelFile(options.model, options.plugin), registry)
    : modelOfFile(syntheticFile(options.shape, contextLength), registry);
  const own = {
    contextLength,
    threads: options.threads,
    isa: options.isa,
    layout: options.layout,
    gemm: options.gemm,
    head: options.head,
    mapped: options.mmap,
    expertsResident: options.expertsResident,
    maxSequences: Math.max(1, ...options.batch),
    kvMemory: largestCache(options, model, contextLength),
    cacheTypeK: options.cacheTypeK,
    cacheTypeV: options.cacheTypeV,
  };
  return createRuntime(model, own, registry);
}

/** Bytes of KV pages for the largest point: one whole context, or a batch at the first depth. */
function largestCache(options: BenchOptions, model: Model, contextLength: number): number {
  const one = cacheBytes(model, options, (options.depth[0] ?? 0) + options.steps);
  return Math.max(cacheBytes(model, options, contextLength), Math.max(...options.batch) * one);
}
