// `wrinklefree serve`: reads the flags, starts the server, says where it is, stops it on a signal.
import { Command } from "commander";
import { readConfigFile } from "./config-file.ts";
import { flagGroups, ignoredFlags, ignoredWithValue, notes, spellings } from "./flag-list.ts";
import { addFlags, readEnvironment } from "./flags.ts";
import type { ServeFlags } from "./serve-flags.ts";

const help = `
Every flag also is an environment variable: --ctx-size is WF_CTX_SIZE or LLAMA_ARG_CTX_SIZE.
llama-server's other flags and short names are accepted. A file of --config holds the same names:
ctx-size = 8192, model = ["a.gguf", "b.gguf"], metrics = true; command line and environment win.

Examples:
  $ wrinklefree serve                                  the built-in model, to try things out
  $ wrinklefree serve -m ggml-model-i2_s.gguf -c 8192 --port 9000
  $ wrinklefree serve -m model.gguf --host 0.0.0.0 --api-key secret --metrics`;

/** commander reads one-letter short flags only, so llama-server's longer ones are rewritten first. */
class ServeCommand extends Command {
  override parseOptions(args: string[]): ReturnType<Command["parseOptions"]> {
    return super.parseOptions(plainFlags(args));
  }
}

/** Rewrites other spellings and drops flags that mean nothing here. */
export function plainFlags(args: readonly string[]): string[] {
  const plain: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const [name = "", value] = (args[i] ?? "").split(/=(.*)/s, 2);
    if (name in notes) process.stderr.write(`note: ${name}: ${notes[name]}\n`);
    if (ignoredFlags.includes(name)) continue;
    if (ignoredWithValue.includes(name)) {
      if (value === undefined) i++;
      continue;
    }
    const own = spellings[name];
    plain.push(own === undefined ? (args[i] ?? "") : value === undefined ? own : `${own}=${value}`);
  }
  return plain;
}

/** The serve command, for the program and for running alone. */
export function serveCommand(): Command {
  const command: Command = new ServeCommand("serve")
    .description("Serve a model over HTTP: OpenAI's, llama.cpp's and other clients' routes.")
    .addHelpText("after", help)
    .action(async () => {
      const config = command.getOptionValue("config") ?? process.env.WF_CONFIG;
      if (config) readConfigFile(command, flagGroups, config);
      readEnvironment(command, flagGroups, process.env);
      const { runServer } = await import("./main.ts");
      await runServer(command.opts<ServeFlags>());
    });
  addFlags(command, flagGroups);
  return command;
}
