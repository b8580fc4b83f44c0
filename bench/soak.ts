// Keeps a server busy for minutes and says what became of memory, descriptors and tokens: bun bench/soak.ts --help

import { renameSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { parseArgs } from "node:util";
import { percentiles } from "../apps/bench/http/statistics.ts";
import { median } from "../apps/bench/measure.ts";
import { round } from "../apps/bench/report.ts";
import { Load } from "./soak/load.ts";
import { type Sample, soakPlot } from "./soak/plot.ts";
import { type Process, pagesInUse, startServer, usage } from "./soak/server.ts";

const help = `bun bench/soak.ts [options] [-- flags of wrinklefree serve, e.g. -m FILE]
  --minutes 20       how long streams of random prompts run, a tenth of them hung up on
  --streams 64       at the same time
  --requests 0       instead: so many short requests (8 tokens in, 2 out)
  --idle 0           connections that say nothing meanwhile
  --seed 1  --json FILE  --svg FILE
Exit code 1 where a token was lost or mixed up, a page or descriptor is not free, or memory grows.`;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "20" },
    streams: { type: "string", default: "64" },
    requests: { type: "string", default: "0" },
    idle: { type: "string", default: "0" },
    seed: { type: "string", default: "1" },
    json: { type: "string" },
    svg: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
});
if (flags.help) {
  console.log(help);
  process.exit(0);
}
const streams = Number(flags.streams);
const requests = Number(flags.requests);
/** Samples are at least so far apart, and at most about `mostSamples`. */
const leastIntervalMs = 1000;
const mostSamples = 300;
/** Growth of resident memory that is no leak: allocators settle. */
const allowedMib = 32;
/** The same of descriptors: our client opens a connection anew where it hung up. */
const allowedDescriptors = 8;

/** Opens connections that never send a byte; counts those that the server closes. */
function idleConnections(url: string, count: number): { sockets: Socket[]; closed: () => number } {
  const { hostname, port } = new URL(url);
  let closed = 0;
  const sockets = Array.from({ length: count }, () => {
    const socket = connect(Number(port), hostname);
    socket.on("error", () => {});
    socket.on("close", () => closed++);
    return socket;
  });
  return { sockets, closed: () => closed };
}

/** Takes samples until `work` is done. */
async function watch(server: Process, load: Load, work: Promise<unknown>): Promise<Sample[]> {
  const start = performance.now();
  const planned = requests > 0 ? 0 : (Number(flags.minutes) * 60_000) / mostSamples;
  const samples: Sample[] = [];
  let working = true;
  const ended = work.finally(() => {
    working = false;
  });
  for (let before = load.counts.tokens, last = start; working; ) {
    await Promise.race([ended, Bun.sleep(Math.max(leastIntervalMs, planned))]);
    const { residentBytes, descriptors } = usage(server.pid);
    const now = performance.now();
    samples.push({
      seconds: round((now - start) / 1000, 1),
      resident_mib: round(residentBytes / 2 ** 20, 1),
      descriptors,
      tokens_per_s: round((1000 * (load.counts.tokens - before)) / (now - last), 1),
      gap_ms: percentiles(load.takeGaps()),
    });
    [before, last] = [load.counts.tokens, now];
    if (process.stderr.isTTY) console.error(JSON.stringify({ ...samples.at(-1), ...load.counts }));
  }
  await ended;
  return samples;
}

/** Median of the last tenth less that of the middle one: heaps and pools have filled by then. */
function growth(samples: readonly Sample[], of: (sample: Sample) => number): number {
  const tenth = Math.max(1, Math.floor(samples.length / 10));
  const middle = Math.floor(samples.length / 2);
  const values = samples.map(of);
  return round(median(values.slice(-tenth)) - median(values.slice(middle, middle + tenth)), 1);
}

function work(load: Load): Promise<unknown> {
  if (requests > 0) return load.shortRequests(requests, streams);
  const end = performance.now() + 60_000 * Number(flags.minutes);
  return Promise.all(Array.from({ length: streams }, () => load.stream(end)));
}

await using server = await startServer(positionals);
const load = await Load.prepare(server.url, Number(flags.seed));
const start = { pages_in_use: await pagesInUse(server.url), ...usage(server.pid) };
const idle = idleConnections(server.url, Number(flags.idle));
const samples = await watch(server, load, work(load));
const closedByServer = idle.closed();
for (const socket of idle.sockets) socket.destroy();
await Bun.sleep(2000);
const end = { pages_in_use: await pagesInUse(server.url), ...usage(server.pid) };
const busy = samples.map(({ gap_ms }) => gap_ms).filter(({ p99 }) => p99 > 0);
const result = {
  streams,
  requests,
  idle: { opened: idle.sockets.length, closed_by_server: closedByServer },
  seconds: samples.at(-1)?.seconds ?? 0,
  ...load.counts,
  resident_mib: {
    start: round(start.residentBytes / 2 ** 20, 1),
    end: round(end.residentBytes / 2 ** 20, 1),
    growth: growth(samples, (sample) => sample.resident_mib),
  },
  descriptors: {
    start: start.descriptors,
    end: end.descriptors,
    growth: growth(samples, (sample) => sample.descriptors),
  },
  pages_in_use: { start: start.pages_in_use, end: end.pages_in_use },
  gap_ms: {
    p50: round(median(busy.map(({ p50 }) => p50)), 1),
    p99: round(median(busy.map(({ p99 }) => p99)), 1),
    worst_p99: Math.max(0, ...busy.map(({ p99 }) => p99)),
  },
};
console.log(JSON.stringify(result, null, 2));
const save = (path: string, text: string): void => {
  writeFileSync(`${path}.part`, text);
  renameSync(`${path}.part`, path);
};
if (flags.json !== undefined) save(flags.json, JSON.stringify({ result, samples }));
if (flags.svg !== undefined) save(flags.svg, soakPlot(samples, `${streams} streams`));
const flat =
  result.resident_mib.growth <= allowedMib &&
  result.descriptors.growth <= allowedDescriptors &&
  end.pages_in_use === start.pages_in_use;
if (load.counts.lost + load.counts.mixed > 0 || !flat) process.exitCode = 1;
