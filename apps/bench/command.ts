// `wrinklefree bench`: speed of a model or of a synthetic one of a real shape, its tape; load on a server.
import { Command, InvalidArgumentError, Option } from "commander";
import type { BenchOptions } from "./options.ts";
import { shapes } from "./shapes.ts";

const whole = (least: number) => (text: string) => {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= 1 << 20) return value;
  throw new InvalidArgumentError(`A whole number, at least ${least}, is expected.`);
};

/** Whole numbers in a list with commas; "none" is an empty one. */
const list = (least: number) => (text: string) =>
  text === "none" ? [] : text.split(",").map(whole(least));

const positive = (text: string): number => {
  const value = Number(text);
  if (value > 0 && value <= 1e6) return value;
  throw new InvalidArgumentError("A number above 0 is expected.");
};

const share = (text: string): number => {
  const value = Number(text);
  if (value >= 0 && value < 1) return value;
  throw new InvalidArgumentError("A number from 0 up to 1 is expected.");
};

const rates = (text: string): number[] => text.split(",").map(positive);

const cacheType = (flag: string, what: string) =>
  new Option(`--cache-type-${flag} <type>`, what).choices(["f16", "q8_0"]).default("f16");

export function benchCommand(): Command {
  const command = new Command("bench").description(
    "Measure prefill and decode speed of a model, or of a synthetic one of a real shape, beside " +
      "the machine's own bounds; or put load on a server.",
  );
  addModelOptions(command);
  addPlanOptions(command);
  addOutputOptions(command);
  addServerOptions(command);
  return command
    .addHelpText(
      "after",
      `
Examples:
  $ wrinklefree bench --shape bitnet-2b-4t -t 2 --json > now.json
  $ wrinklefree bench -m model.gguf --compare before.json --tolerance 0.05
  $ wrinklefree bench -m model.gguf --tape --time
  $ wrinklefree bench --shape moe-64x6 --prefill none --depth 0 --batch 1,8,64
  $ wrinklefree bench -m model.gguf --load
  $ wrinklefree bench -m model.gguf --neighbours 1
  $ wrinklefree bench --url http://127.0.0.1:8080 --concurrency 1,8,16
  $ wrinklefree bench --url http://127.0.0.1:8080 --rate 0.5,1,2 --price 0.6 --svg load.svg`,
    )
    .action(async (options: BenchOptions) => {
      const { runBench } = await import("./run.ts");
      await runBench(options);
    });
}

function addModelOptions(command: Command): void {
  const names = Object.keys(shapes).join(", ");
  command
    .option("-m, --model <file>", "model file or checkpoint folder")
    .option("--shape <name>", `synthetic weights of a shape: ${names}`, "bitnet-2b-4t")
    .option("-t, --threads <n>", "threads", whole(1))
    .option("--isa <name>", "generic, avx2, avx512 or neon")
    .option("--layout <name>", "ternary execution layout (default: measured)")
    .option(
      "--gemm <name>",
      "products of many rows: plain, or hybrid on AVX-512 (default: measured)",
    )
    .option("-c, --ctx-size <n>", "context length (default: what the tests need)", whole(1))
    .addOption(cacheType("k", "type of cached keys"))
    .addOption(cacheType("v", "type of cached values"))
    .addOption(
      new Option("--head <mode>", "how the largest logits are found")
        .choices(["auto", "full", "screen"])
        .default("auto"),
    )
    .option("--plugin <name...>", "plugins beside the standard ones");
}

function addPlanOptions(command: Command): void {
  command
    .option("--prefill <list>", "prompt lengths, or none", list(1), [128, 512, 2048])
    .option("--depth <list>", "cached positions when decoding starts", list(0), [0, 2048, 4096])
    .option("--batch <list>", "sequences decoding together", list(1), [1, 2, 4, 8, 16])
    .option("--steps <n>", "decode steps of one run", whole(1), 16)
    .option("--repetitions <n>", "runs of each test", whole(1), 5)
    .option("--load", "measure the time from opening the file to the first token instead")
    .option("--neighbours <n>", "decode beside n busy processes on one core instead", whole(1))
    .option("--mmap", "run ternary weights from the mapped file, without packing them")
    .option("--experts-resident <n>", "experts of a layer kept packed (default: all)", whole(0))
    .option("--tape", "print the recorded step and leave")
    .option("--time", "with --tape: time per op of a decode and of a prefill step");
}

function addOutputOptions(command: Command): void {
  command
    .option("--json", "print results as JSON")
    .option("--svg <file>", "draw the results under the machine's roofline")
    .option("--compare <file>", "compare with the JSON of an earlier run; exit code 1 if slower")
    .option("--tolerance <share>", "loss of speed that --compare accepts", share, 0.1);
}

function addServerOptions(command: Command): void {
  command
    .option("--url <url>", "put load on the OpenAI-like server at this address instead")
    .option("--api-key <key>", "with --url: the server's key")
    .option("--concurrency <list>", "with --url: streams at once", list(1), [1, 8, 16])
    .option("--prompt-tokens <n>", "with --url: prompt of each stream", whole(1), 128)
    .option("--max-tokens <n>", "with --url: tokens that each stream generates", whole(1), 64)
    .option("--rate <list>", "with --url: requests a second that arrive at random times", rates)
    .option("--duration <s>", "with --rate: seconds of arrivals", positive, 30)
    .option("--deadline-ms <ms>", "with --rate: the first token of a good answer", positive, 2000)
    .option("--gap-ms <ms>", "with --rate: its further tokens, on average", positive, 200)
    .option(
      "--price <n>",
      "with --rate: the server's price an hour, for that of a million tokens",
      positive,
    )
    .option("--long-prompt <n>", "with --url: a prompt that arrives later; 0: none", whole(0), 3000)
    .option("--shared-prefix <n>", "with --url: tokens two prompts share; 0: none", whole(0), 1500);
}
