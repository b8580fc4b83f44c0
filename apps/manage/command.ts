// `wrinklefree pull`, `ls`, `rm` and `doctor`: the models on this machine, and the machine itself.
import { Command } from "commander";
import { integer } from "../server/flags.ts";
import type { PullFlags } from "./run.ts";

export function pullCommand(): Command {
  return new Command("pull")
    .description("Fetch a model from the Hugging Face hub; convert it where it has no GGUF file.")
    .argument("[model]", "owner/name, owner/name:file.gguf or a short name")
    .option("--list", "show the short names of known ternary models")
    .option("--revision <name>", "branch, tag or commit")
    .option("-q, --quantize <format>", "format that a checkpoint is converted to", "i2_s")
    .option("--no-convert", "keep a checkpoint as it is")
    .option("-t, --threads <n>", "threads (default: the cores)", integer(1, 1024))
    .option("--plugin <name...>", "load plugins")
    .option("--quiet", "print no progress")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
What was interrupted goes on where it stopped; digests are checked. Files lie in the hub's shared
cache (HF_HOME, HF_HUB_CACHE), conversions in WRINKLEFREE_HOME or XDG_DATA_HOME/wrinklefree.
HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are obeyed.

Examples:
  $ wrinklefree pull bitnet-2b
  $ wrinklefree pull microsoft/bitnet-b1.58-2B-4T -q tq2_0`,
    )
    .action(async (name: string | undefined, flags: PullFlags) => {
      const { runPull } = await import("./run.ts");
      await runPull(name, flags);
    });
}

export function listCommand(): Command {
  return new Command("ls")
    .description("List the models on this machine.")
    .option("--json", "print as JSON, with their paths")
    .addHelpText(
      "after",
      `
Examples:
  $ wrinklefree ls
  $ wrinklefree ls --json`,
    )
    .action(async (flags: { json?: boolean }) => {
      const { runList } = await import("./run.ts");
      runList(flags);
    });
}

export function removeCommand(): Command {
  return new Command("rm")
    .description("Delete models from this machine: downloads and conversions.")
    .argument("<model...>", "owner/name or a short name, as ls shows them")
    .option("--json", "print as JSON")
    .addHelpText(
      "after",
      `
Examples:
  $ wrinklefree rm microsoft/bitnet-b1.58-2B-4T
  $ wrinklefree rm bitnet-2b falcon3-1b`,
    )
    .action(async (names: string[], flags: { json?: boolean }) => {
      const { runRemove } = await import("./run.ts");
      runRemove(names, flags);
    });
}

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("Tell what this machine has for running models, and test that it works.")
    .option("-t, --threads <n>", "threads (default: the cores)", integer(1, 1024))
    .option("--plugin <name...>", "load plugins")
    .option("--json", "print as JSON")
    .addHelpText(
      "after",
      `
The exit code is 1 where the self-test fails: the built-in model must give the same bits everywhere.

Examples:
  $ wrinklefree doctor
  $ wrinklefree doctor --json --threads 4`,
    )
    .action(async (flags: { threads?: number; plugin?: string[]; json?: boolean }) => {
      const { runDoctor } = await import("./run.ts");
      await runDoctor(flags);
    });
}
