// Compares two running servers under 1, 8 and 16 streams, alternating: bun bench/peers/streams.ts --help
import { parseArgs } from "node:util";
import { Prompts } from "../../apps/bench/http/prompts.ts";
import { sideBySide } from "../../apps/bench/http/scenarios.ts";
import type { StreamStatistics } from "../../apps/bench/http/statistics.ts";
import { loadHead, row } from "../../apps/bench/http/table.ts";
import { median } from "../../apps/bench/measure.ts";
import { round } from "../../apps/bench/report.ts";

const help = `bun bench/peers/streams.ts --own URL --peer URL [options]
  --own URL    our server              --peer URL   llama-server, or any OpenAI-like one
  --streams 1,8,16  --prompt-tokens 32  --max-tokens 64  --rounds 3  --json
Both run all the time and take turns: the one that is not asked must be idle. Ratios are of neighbours.`;

const { values: flags } = parseArgs({
  options: {
    own: { type: "string" },
    peer: { type: "string" },
    streams: { type: "string", default: "1,8,16" },
    "prompt-tokens": { type: "string", default: "32" },
    "max-tokens": { type: "string", default: "64" },
    rounds: { type: "string", default: "3" },
    json: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  },
});
if (flags.help || !flags.own || !flags.peer) {
  console.log(help);
  process.exit(flags.help ? 0 : 2);
}

interface Contestant {
  readonly name: "own" | "peer";
  readonly url: string;
  readonly prompts: Prompts;
}

const tokens = { prompt: Number(flags["prompt-tokens"]), generate: Number(flags["max-tokens"]) };
const say = flags.json ? console.error : console.log;
const contestants: Contestant[] = [];
for (const [name, address] of [
  ["own", flags.own],
  ["peer", flags.peer],
] as const) {
  const url = address.replace(/\/+$/, "");
  contestants.push({ name, url, prompts: await Prompts.calibrate({ url }, Date.now() % 2 ** 24) });
}

/** One round of `count` streams. Throws with the first stream's error. */
async function run(contestant: Contestant, count: number): Promise<StreamStatistics> {
  const { name, url, prompts } = contestant;
  const { statistics, errors } = await sideBySide({ url }, prompts, count, tokens);
  if (errors.length > 0) throw new Error(`${url}: ${errors[0]}`);
  say(`${name.padEnd(5)}${row(count, statistics)}`);
  return statistics;
}

const results: { streams: number; own: number; peer: number; ratio: number; ratios: number[] }[] =
  [];
say(`     ${loadHead}`);
for (const streams of flags.streams.split(",").map(Number)) {
  const speeds: Record<"own" | "peer", number[]> = { own: [], peer: [] };
  for (let i = 0; i < Number(flags.rounds); i++) {
    for (const contestant of contestants) {
      const { tokens_per_s } = await run(contestant, streams);
      speeds[contestant.name].push(tokens_per_s);
    }
  }
  const ratios = speeds.own.map((own, i) => round(own / (speeds.peer[i] as number), 2));
  const [own, peer, ratio] = [median(speeds.own), median(speeds.peer), median(ratios)];
  results.push({ streams, own, peer, ratio, ratios });
}
say("\nstreams       own      peer  tokens/s");
for (const { streams, own, peer, ratio, ratios } of results) {
  const range = `${ratio.toFixed(2)} x (${Math.min(...ratios)} to ${Math.max(...ratios)})`;
  say(
    `${String(streams).padStart(7)} ${own.toFixed(1).padStart(9)} ${peer.toFixed(1).padStart(9)}  ${range}`,
  );
}
if (flags.json) console.log(JSON.stringify({ own: flags.own, peer: flags.peer, tokens, results }));
