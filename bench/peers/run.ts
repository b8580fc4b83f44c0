// Compares with engines that come as packages, on the same shape, alternating: bun bench/peers/run.ts --help
import { parseArgs } from "node:util";
import { Machine } from "../../apps/bench/machine.ts";
import { median } from "../../apps/bench/measure.ts";
import { syntheticPath } from "../../apps/bench/model-file.ts";
import { type BenchReport, type ResultLine, round, testName } from "../../apps/bench/report.ts";
import { shapeOf } from "../../apps/bench/shapes.ts";
import { decode, fillCache, prefill } from "../../apps/bench/steps.ts";
import { createRegistry } from "../../apps/plugins.ts";
import { openRuntime, type Registry, type Runtime } from "../../core/index.ts";
import { llamaBench } from "./llama-bench.ts";
import { startLitespark, startNodeLlamaCpp } from "./packages.ts";
import type { Command, Peer } from "./peer.ts";

const help = `bun bench/peers/run.ts [options]
  --peers node-llama-cpp,litespark   which packages (installed in the temporary folder)
  --llama-bench PROGRAM --llama-model FILE [--llama-args="-rtr 1"] [--own-model FILE]
                                     a llama-bench program beside them; ours runs --own-model
  --embedding q6_k|f16               of the file that node-llama-cpp and ours run (q6_k)
  --threads 2  --prefill 128,512  --depth 0,2048  --steps 16  --repetitions 5  --isa avx2  --json`;

const { values: flags } = parseArgs({
  options: {
    peers: { type: "string", default: "node-llama-cpp,litespark" },
    "llama-bench": { type: "string" },
    "llama-model": { type: "string" },
    "llama-args": { type: "string", default: "" },
    "own-model": { type: "string" },
    embedding: { type: "string", default: "q6_k" },
    threads: { type: "string", default: String(navigator.hardwareConcurrency) },
    prefill: { type: "string", default: "128,512" },
    depth: { type: "string", default: "0,2048" },
    steps: { type: "string", default: "16" },
    repetitions: { type: "string", default: "5" },
    isa: { type: "string" },
    json: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  },
});

if (flags.help) {
  console.log(help);
  process.exit(0);
}

const numbers = (text: string): number[] =>
  text === "none" || text === "" ? [] : text.split(",").map(Number);
const threads = Number(flags.threads);
const steps = Number(flags.steps);
const commands: Command[] = [
  ...numbers(flags.prefill).map((tokens): Command => ({ test: "prefill", tokens })),
  ...numbers(flags.depth).map((depth): Command => ({ test: "decode", depth, steps })),
];
const needed = commands.map((command) =>
  command.test === "prefill" ? command.tokens : command.depth + command.steps,
);
const contextLength = 64 + Math.max(...needed);
const say = flags.json ? console.error : console.log;

/** One peer and the file of the same shape that ours runs beside it. */
interface Match {
  readonly shape: string;
  readonly own: string;
  start(): Peer | Promise<Peer>;
}

function matchesOf(registry: Registry): Match[] {
  const matches: Match[] = [];
  const wanted = flags.peers === "none" ? [] : flags.peers.split(",");
  if (wanted.includes("node-llama-cpp")) {
    const embedding = flags.embedding === "f16" ? "f16" : "q6_k";
    const own = syntheticPath("llama-2b", registry, { ternary: "tq2_0", embedding });
    const start = (): Promise<Peer> => startNodeLlamaCpp(own, threads, contextLength);
    matches.push({ shape: `llama-2b tq2_0, ${embedding} head`, own, start });
  }
  if (wanted.includes("litespark")) {
    const own = syntheticPath("bitnet-2b-4t", registry);
    const start = (): Promise<Peer> => startLitespark(shapeOf("bitnet-2b-4t"), threads);
    matches.push({ shape: "bitnet-2b-4t", own, start });
  }
  const program = flags["llama-bench"];
  const model = flags["llama-model"];
  if (program !== undefined && model !== undefined) {
    const extra = flags["llama-args"].split(" ").filter((arg) => arg !== "");
    const start = (): Peer =>
      llamaBench({ program, model, threads, extra, name: ["llama-bench", ...extra].join(" ") });
    const own = flags["own-model"] ?? syntheticPath("bitnet-2b-4t", registry);
    matches.push({ shape: "bitnet-2b-4t", own, start });
  }
  return matches;
}

function timeOurs(runtime: Runtime, command: Command): number {
  const start = performance.now();
  if (command.test === "prefill") prefill(runtime, command.tokens);
  else decode(runtime, command.depth, 1, command.steps);
  return performance.now() - start;
}

/** Runs all commands, each alternating between ours and the peer. */
async function compareWith(match: Match, registry: Registry): Promise<ResultLine[]> {
  const peer = await match.start();
  const options = { model: match.own, contextLength, threads, isa: flags.isa, maxSequences: 1 };
  using runtime = await openRuntime(options, registry);
  fillCache(runtime);
  say(`\n${match.shape}: wrinklefree (${runtime.info.isa}) beside ${peer.engine}`);
  say("test                             ours      peer  tokens/s");
  try {
    const lines: ResultLine[] = [];
    for (const command of commands) lines.push(...(await alternate(match, peer, runtime, command)));
    return lines;
  } finally {
    peer.close();
  }
}

async function alternate(
  match: Match,
  peer: Peer,
  runtime: Runtime,
  command: Command,
): Promise<ResultLine[]> {
  const times: { ours: number[]; theirs: number[] } = { ours: [], theirs: [] };
  // Warm-up of both is not counted.
  for (let i = -1; i < Number(flags.repetitions); i++) {
    const ours = timeOurs(runtime, command);
    const theirs = await peer.time(command);
    if (i < 0) continue;
    times.ours.push(ours);
    times.theirs.push(theirs);
  }
  const own = lineOf("wrinklefree", match.shape, command, times.ours);
  const other = lineOf(peer.engine, match.shape, command, times.theirs);
  const ratios = times.ours.map((ms, i) => (times.theirs[i] as number) / ms);
  const columns = [
    testName(own).padEnd(28),
    own.tokens_per_s.toFixed(1).padStart(8),
    other.tokens_per_s.toFixed(1).padStart(9),
    `${median(ratios).toFixed(2)} x (${Math.min(...ratios).toFixed(2)}`,
    `to ${Math.max(...ratios).toFixed(2)})`,
  ];
  say(columns.join(" "));
  return [own, other];
}

function lineOf(
  engine: string,
  shape: string,
  command: Command,
  times: readonly number[],
): ResultLine {
  const middle = median(times);
  const tokens = command.test === "prefill" ? command.tokens : command.steps;
  return {
    engine,
    shape,
    test: command.test,
    tokens,
    depth: command.test === "prefill" ? 0 : command.depth,
    batch: 1,
    threads,
    tokens_per_s: round((1000 * tokens) / middle, 2),
    spread: round((Math.max(...times) - Math.min(...times)) / middle, 3),
    fraction_of_bound: null,
  };
}

const registry = await createRegistry();
const results: ResultLine[] = [];
for (const match of matchesOf(registry)) {
  try {
    results.push(...(await compareWith(match, registry)));
  } catch (error) {
    console.error(`${match.shape}: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
using machine = new Machine(registry, { threads, isa: flags.isa });
const reading = machine.read();
const report: BenchReport = {
  machine: {
    cpu: machine.cpu,
    isa: machine.isa,
    read_gbps: round(reading.readGbps, 2),
    int8_gmacs: round(reading.int8Gmacs, 1),
  },
  results,
};
if (flags.json) console.log(JSON.stringify(report));
