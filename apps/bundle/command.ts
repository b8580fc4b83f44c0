// `wrinklefree bundle`: one executable file with everything in it, a model included.
import { Command } from "commander";
import type { BundleOptions } from "./run.ts";

export function bundleCommand(): Command {
  return new Command("bundle")
    .description(
      "Make one executable for this platform: Bun, the kernels, the chat page and a model. It has " +
        "every command, needs nothing installed, and serves its model when none is named.",
    )
    .option("-o, --output <file>", "the executable to write", "wrinklefree")
    .option("-m, --model <name>", "GGUF file or name of a model (default: the built-in one)")
    .addHelpText(
      "after",
      `
Examples:
  $ wrinklefree bundle -o wrinklefree
  $ wrinklefree bundle -m model.gguf -o mymodel && ./mymodel serve
  $ ./wrinklefree bundle -m model.gguf -o mymodel      an executable makes others, too`,
    )
    .action(async (options: BundleOptions) => {
      const { runBundle } = await import("./run.ts");
      await runBundle(options);
    });
}
