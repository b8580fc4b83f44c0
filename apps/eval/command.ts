// `wrinklefree eval`: the field's evaluation harness (lm-eval) on a running server.
import { Command, InvalidArgumentError, Option } from "commander";
import type { EvalOptions } from "./run.ts";

const whole = (least: number) => (text: string) => {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= least) return value;
  throw new InvalidArgumentError(`A whole number, at least ${least}, is expected.`);
};

const list = (text: string): string[] => text.split(",").map((name) => name.trim());

export function evalCommand(): Command {
  return new Command("eval")
    .description(
      "Evaluate a running server, ours or any that answers /v1/completions with echo and logprobs, " +
        "by lm-eval, which is installed into a Python environment of its own at the first run.",
    )
    .addOption(
      new Option("--url <url>", "address of the server")
        .env("INFERENCE_URL")
        .default("http://127.0.0.1:8080"),
    )
    .option(
      "--tasks <list>",
      "smoke, bitdistill, a .jsonl file of {context, choices, answer}, a task's .yaml file, " +
        "or names of lm-eval's own tasks",
      list,
      ["smoke"],
    )
    .option("--chat", "ask as a chat: tasks in which something is generated only")
    .option("--model <name>", "model to ask for (default: the first that the server lists)")
    .addOption(new Option("--api-key <key>", "the server's key").env("OPENAI_API_KEY"))
    .option("--compare <url>", "evaluate this server too, and compare the two")
    .option("--limit <n>", "examples of each task at most", whole(1))
    .option("--num-fewshot <n>", "solved examples before each question", whole(0))
    .option("--concurrency <n>", "requests at the same time", whole(1), 8)
    .option("--output <folder>", "keep lm-eval's results and samples here")
    .option("--json", "print the results as JSON")
    .addHelpText(
      "after",
      `
bitdistill is MNLI, QNLI, SST-2 and CNN/DailyMail summaries; their data come from the hub.

Examples:
  $ wrinklefree eval --url http://127.0.0.1:8080
  $ wrinklefree eval --tasks smoke --chat
  $ wrinklefree eval --tasks questions.jsonl --json
  $ wrinklefree eval --tasks arc_easy,hellaswag --limit 200 --compare http://127.0.0.1:8081`,
    )
    .action(async (options: EvalOptions) => {
      const { runEval } = await import("./run.ts");
      await runEval(options);
    });
}
