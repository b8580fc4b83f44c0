// The wrinklefree program: puts the apps' commands together and turns errors into exit codes.
import { Command } from "commander";
import { commands } from "./commands.ts";
import { applyConventions, reportError } from "./conventions.ts";
import { version } from "./version.ts";

const help = `
Examples:
  $ wrinklefree serve                      serve the built-in model on http://127.0.0.1:8080
  $ wrinklefree serve -m model.gguf -c 8192
  $ wrinklefree convert ./checkpoint -q i2_s -o model.gguf

Every command explains itself: wrinklefree serve --help`;

/** The whole program, ready to parse. */
function program(): Command {
  const root = new Command("wrinklefree")
    .description("Serve 1.58-bit (ternary) language models fast on any CPU.")
    .version(version, "-V, --version")
    .addHelpText("after", help);
  for (const create of commands) root.addCommand(create());
  return applyConventions(root);
}

/** Runs the command line of this process and sets its exit code. */
export async function runCommand(): Promise<void> {
  // Whoever reads our output, such as head, may leave before its end.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
  try {
    await program().parseAsync();
  } catch (error) {
    process.exitCode = reportError(error);
  }
}
