// `wrinklefree chat`: a conversation with a model in the terminal, or one question through a pipe.
import { Command } from "commander";
import { integer } from "../server/flags.ts";
import type { ChatFlags } from "./chat-flags.ts";

const help = `
Examples:
  $ wrinklefree chat -m model.gguf --system "You answer briefly."
  $ echo "Tell me a story." | wrinklefree chat -n 100
  $ wrinklefree chat --url http://127.0.0.1:8080`;

const append = (text: string, previous: string[] | undefined): string[] => [
  ...(previous ?? []),
  text,
];

/** The chat command, for the program and for running alone. */
export function chatCommand(): Command {
  return new Command("chat")
    .description("Talk to a model in the terminal; with a pipe, answer what comes through it.")
    .option(
      "-m, --model <file>",
      "GGUF file, checkpoint folder or owner/name:file.gguf (default: built in)",
    )
    .option("--url <url>", "talk to a running server instead")
    .option("--api-key <key>", "its API key")
    .option("-s, --system <text>", "system prompt")
    .option("-c, --ctx-size <n>", "tokens of the whole conversation", integer(16), 4096)
    .option("-t, --threads <n>", "threads (default: the cores)", integer(1, 1024))
    .option("-n, --n-predict <n>", "tokens of an answer at most", integer(1))
    .option("--seed <n>", "same seed, same answers", integer(0, 2 ** 32 - 1))
    .option("--set <name=value>", "a sampling option, e.g. --set temperature=0.2", append)
    .option("--plugin <name>", "load a plugin beside the standard ones", append)
    .addHelpText("after", help)
    .action(async (flags: ChatFlags) => {
      const { runChat } = await import("./main.ts");
      await runChat(flags);
    });
}
