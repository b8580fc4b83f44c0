// `wrinklefree validate`: checks a running server's cache, context limit and concurrency.
import { Command, InvalidArgumentError } from "commander";
import type { ValidateOptions } from "./run.ts";

const number =
  (least: number, most: number, whole = true) =>
  (text: string): number => {
    const value = Number(text);
    const valid = text.trim() !== "" && value >= least && value <= most;
    if (valid && (!whole || Number.isInteger(value))) return value;
    throw new InvalidArgumentError(
      `It must be ${whole ? "a whole number" : "a number"}, ${least} to ${most}.`,
    );
  };

interface Flags extends Omit<ValidateOptions, "only" | "timeoutMs"> {
  readonly only?: string[];
  readonly timeout: number;
  readonly json?: boolean;
}

export function validateCommand(): Command {
  return new Command("validate")
    .description(
      "Check a running server, ours or any llama.cpp-like or OpenAI-like one: prefix cache, context limit, concurrency, cancellation, leaks.",
    )
    .requiredOption("--url <url>", "address of the server")
    .option("--api-key <key>", "its API key")
    .option("--model <name>", "model to ask for (default: the first that it lists)")
    .option("--only <check...>", "run these checks only")
    .option("--json", "print the results as JSON")
    .option(
      "--seed <n>",
      "seed of the prompts (default: another each time)",
      number(0, 2 ** 32 - 1),
    )
    .option("--timeout <s>", "seconds that one request may take", number(1, 86400), 120)
    .optionsGroup("Thresholds:")
    .option("--prefix-tokens <n>", "length of the shared prefix", number(32, 1e6), 512)
    .option(
      "--min-cached <part>",
      "part of it that must come from the cache",
      number(0, 1, false),
      0.8,
    )
    .option(
      "--min-speedup <x>",
      "speed-up that shows a cache, without counts",
      number(1, 1e6, false),
      1.5,
    )
    .option("--context <n>", "context length (default: the server says)", number(1, 1e9))
    .option("--concurrency <n>", "requests at the same time", number(2, 10000), 10)
    .option("--min-success <part>", "part of them that must succeed", number(0, 1, false), 1)
    .option("--min-equal <part>", "part that must equal the answers alone", number(0, 1, false), 1)
    .option("--cycles <n>", "requests in the search for leaks", number(1, 1e6), 40)
    .option(
      "--cancel-ms <ms>",
      "time until an abandoned answer must have stopped",
      number(1, 1e6),
      2000,
    )
    .addHelpText(
      "after",
      `
The exit code is 0 when every check passes, 1 when one fails.

Examples:
  $ wrinklefree validate --url http://127.0.0.1:8080
  $ wrinklefree validate --url https://llm.example.org --api-key $KEY --min-equal 0.9 --json`,
    )
    .action(async (flags: Flags) => {
      const { runValidate } = await import("./run.ts");
      await runValidate({
        ...flags,
        only: flags.only ?? [],
        seed: flags.seed ?? Math.floor(Math.random() * 2 ** 31),
        timeoutMs: flags.timeout * 1000,
        context: flags.context,
      });
    });
}
