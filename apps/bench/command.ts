// `wrinklefree bench`: speed of a model or of a synthetic one of a real shape, and its tape.
import { Command, Option } from "commander";
import type { BenchOptions } from "./options.ts";
import { shapes } from "./shapes.ts";

const list = (text: string): number[] => text.split(",").map((part) => Number(part));

export function benchCommand(): Command {
  return new Command("bench")
    .description(
      "Measure prefill and decode speed of a model, or of a synthetic one of a real shape.",
    )
    .option("-m, --model <file>", "model file or checkpoint folder")
    .option(
      "--shape <name>",
      `synthetic weights of a shape: ${Object.keys(shapes).join(", ")}`,
      "bitnet-2b-4t",
    )
    .option("-t, --threads <n>", "threads", Number)
    .option("--isa <name>", "generic, avx2, avx512 or neon")
    .option("--layout <name>", "ternary execution layout")
    .option("-c, --ctx-size <n>", "context length", Number, 4096)
    .option("--prefill <list>", "prompt lengths", list, [128, 512])
    .option("--depth <list>", "positions in the cache when decoding starts", list, [0, 2048])
    .option("--batch <list>", "sequences decoding together", list, [1])
    .option("--steps <n>", "decode steps of one run", Number, 16)
    .option("--repetitions <n>", "runs of each point", Number, 5)
    .addOption(
      new Option("--cache-type-k <type>", "type of cached keys")
        .choices(["f16", "q8_0"])
        .default("f16"),
    )
    .addOption(
      new Option("--cache-type-v <type>", "type of cached values")
        .choices(["f16", "q8_0"])
        .default("f16"),
    )
    .addOption(
      new Option("--head <mode>", "how the largest logits are found")
        .choices(["auto", "full", "screen"])
        .default("auto"),
    )
    .option("--json", "print results as JSON")
    .option("--tape", "print the recorded step and leave")
    .option("--time", "with --tape: time per op of a decode and of a prefill step")
    .addHelpText(
      "after",
      `
Examples:
  $ wrinklefree bench --shape bitnet-2b-4t -t 2
  $ wrinklefree bench -m model.gguf --tape --time`,
    )
    .action(async (options: BenchOptions) => {
      const { runBench } = await import("./run.ts");
      await runBench(options);
    });
}
