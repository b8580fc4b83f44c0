// What all commands share: how help looks, how errors are shown, which exit code they give.
import { type Command, CommanderError } from "commander";
import { WrinkleFreeError } from "../../core/index.ts";

/** Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted. */
const exitCodes = { failure: 1, usage: 2, interrupted: 130 } as const;

/** Makes the program and all commands below it throw instead of exit, and suggest near names. */
export function applyConventions(command: Command): Command {
  command.exitOverride();
  command.showSuggestionAfterError(true);
  command.showHelpAfterError(false);
  command.configureHelp({ sortOptions: false, showGlobalOptions: false });
  command.configureOutput({
    writeErr: (text) => process.stderr.write(text),
    outputError: (text, write) => {
      const [first, ...rest] = text
        .replace(/^error: /, "")
        .trimEnd()
        .split("\n");
      const name = fullName(command);
      write(`error: ${first}${rest.length > 0 ? ` ${rest.join(" ")}` : ""}\n`);
      write(`hint: ${name} --help lists what there is\n`);
    },
  });
  for (const child of command.commands) applyConventions(child);
  return command;
}

function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}

/** Prints an error for people on standard error and returns the exit code that belongs to it. */
export function reportError(error: unknown): number {
  // Commander has printed its own already; --help and --version also arrive here, with code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage;
  if (error instanceof WrinkleFreeError) {
    process.stderr.write(`error: ${error.message}\n`);
    if (error.hint !== undefined) process.stderr.write(`hint: ${error.hint}\n`);
    if (error.code === "cancelled") return exitCodes.interrupted;
    return error.code === "usage" ? exitCodes.usage : exitCodes.failure;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`error: unexpected: ${text}\n`);
  process.stderr.write("hint: this is a bug in WrinkleFree or in a plugin; please report it\n");
  return exitCodes.failure;
}
