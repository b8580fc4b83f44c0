// `wrinklefree batch`: answers a file of requests (OpenAI's batch format) without a server, resumably.
import { Command, InvalidArgumentError, Option } from "commander";
import type { BatchOptions } from "./options.ts";

const whole = (text: string): number => {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= 4096) return value;
  throw new InvalidArgumentError("A whole number from 1 to 4096 is expected.");
};

/** "2/8" to [1, 8]: shards are counted from 1. */
function shard(text: string): [number, number] {
  const [, part, of] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  const [i, n] = [Number(part), Number(of)];
  if (i >= 1 && i <= n) return [i - 1, n];
  throw new InvalidArgumentError("Like 2/8: the second of eight shards.");
}

export function batchCommand(): Command {
  return new Command("batch")
    .description(
      "Answer every line of a file: {custom_id, method, url, body} as in OpenAI's batch files. The " +
        "answers are in the order in which they were ready. Started again after it was ended in any " +
        "way, it goes on where it was.",
    )
    .argument("<input>", "file of requests, one JSON object a line")
    .option("-o, --output <file>", "file of answers (default: INPUT with .out.jsonl)")
    .option("-m, --model <name>", "model to run (default: the built-in one)")
    .option("-c, --ctx-size <tokens>", "context of one request", whole4M)
    .option("-t, --threads <n>", "threads to compute with", whole)
    .option("--parallel <n>", "requests computed together", whole, 16)
    .option("--shard <i/n>", "only every n-th line, from the i-th: i of n machines", shard)
    .option("--url <url>", "ask this server and run no model here")
    .addOption(new Option("--api-key <key>", "that server's key").env("OPENAI_API_KEY"))
    .addHelpText(
      "after",
      `
Until all is answered the answers are in OUTPUT.partial. A model that a line names is not used.

Examples:
  $ wrinklefree batch requests.jsonl -o answers.jsonl -m model.gguf
  $ wrinklefree batch requests.jsonl -o answers-2.jsonl --shard 2/8
  $ wrinklefree batch requests.jsonl --url http://127.0.0.1:8080`,
    )
    .action(async (input: string, options: BatchOptions) => {
      const { runBatch } = await import("./run.ts");
      await runBatch(input, options);
    });
}

function whole4M(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= 1 << 22) return value;
  throw new InvalidArgumentError("A whole number of tokens is expected.");
}
