// `wrinklefree convert`: any ternary checkpoint to GGUF, or back to a packed checkpoint.
import { Command, InvalidArgumentError, Option } from "commander";
import type { RunOptions } from "./run.ts";

function positiveInteger(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("a whole number above 0 is wanted.");
}

export function convertCommand(): Command {
  return new Command("convert")
    .description(
      "Convert a ternary model to GGUF: from a checkpoint folder, a file or the Hugging Face hub.",
    )
    .argument("[source]", "checkpoint folder, .safetensors, .pt, .bin or .gguf file, owner/name")
    .option("-o, --output <path>", "file to write; default: <source>-<format>.gguf in this folder")
    .option("--hf-repo <owner/name>", "fetch the source from the Hugging Face hub")
    .option("--revision <name>", "branch, tag or commit of --hf-repo")
    .option("--hf-file <name>", "one file of --hf-repo, such as a GGUF file")
    .option("-q, --quantize <format>", "format of the ternary weights", "i2_s")
    .option("--quant-embd <format>", "format of the embedding: f16, q8_0, q6_K (default: f16)")
    .option("--quant-output <format>", "format of the output layer (default: f16)")
    .option("--config <file>", "config.json for a checkpoint that has none")
    .option("--name <text>", "general.name of the output")
    .addOption(
      new Option(
        "--weight-scale <kind>",
        "how a packed checkpoint's weight_scale is meant",
      ).choices(["direct", "inverse"]),
    )
    .option("--naive", "round a dense model to -1, 0 and 1 (it was not trained for it)")
    .option("--fake-moe <experts>", "make a mixture of that many equal experts", positiveInteger)
    .option("--top-k <k>", "with --fake-moe: experts a token uses", positiveInteger, 2)
    .addOption(
      new Option("--router <name>", "with --fake-moe: how experts are chosen")
        .choices(["identity", "top-k"])
        .default("top-k"),
    )
    .option("--share-experts", "with --fake-moe: one sub-norm for all experts")
    .option("--no-verify", "skip comparing the output with the source")
    .option("--no-forward", "skip comparing the logits of 32 tokens on both")
    .option("--dry-run", "tell what would be written, and what would not fit")
    .option("--resume", "go on where an interrupted conversion stopped")
    .option("-t, --threads <n>", "threads (default: all)", positiveInteger)
    .option("--no-overwrite", "stop where the output exists")
    .option("--plugin <name...>", "load plugins beside the standard ones")
    .option("--json", "print the report as JSON")
    .option("--quiet", "print no progress")
    .addHelpText(
      "after",
      `
Formats (-q): i2_s, tl1, tl2, tq1_0, tq2_0, iq1_bn, iq2_bn, q2_0, pq2_0, f16, bf16,
and those of plugins. With hf-packed the output is a checkpoint folder for transformers.

Examples:
  $ wrinklefree convert ./bitnet-b1.58-2B-4T -o 2b4t.gguf
  $ wrinklefree convert --hf-repo microsoft/bitnet-b1.58-2B-4T -o 2b4t.gguf
  $ wrinklefree convert 2b4t.gguf -q tq2_0 --quant-embd q6_k -o 2b4t-tq2.gguf`,
    )
    .action(async (source: string | undefined, _: unknown, command: Command) => {
      const { runConvert } = await import("./run.ts");
      await runConvert(source, command.optsWithGlobals<RunOptions>());
    });
}
