// `wrinklefree inspect`: what a model file holds, and how two of them differ.
import { Command } from "commander";
import { integer } from "../server/flags.ts";
import type { InspectFlags } from "./flags.ts";

export function inspectCommand(): Command {
  return new Command("inspect")
    .description("Tell what a model file or checkpoint holds, or how two of them differ.")
    .argument("<model>", "model file, checkpoint folder or name")
    .option("--tensors", "list the tensors: name, shape, format, bytes")
    .option("--weights", "with --tensors: share of zeros and scales of ternary weights")
    .option("--metadata", "list the metadata")
    .option("-c, --ctx-size <n>", "tokens of context that memory is told for", integer(1))
    .option("--diff <other>", "compare with another model, tensor by tensor and by logits")
    .option("--no-logits", "with --diff: compare the tensors only")
    .option("--json", "print as JSON")
    .option("--plugin <name...>", "load plugins")
    .addHelpText(
      "after",
      `
With --diff the exit code is 1 where the models differ.

Examples:
  $ wrinklefree inspect model.gguf --tensors
  $ wrinklefree inspect bitnet-2b -c 32768 --json
  $ wrinklefree inspect model.gguf --diff ./checkpoint`,
    )
    .action(async (model: string, _: unknown, command: Command) => {
      const { runInspect } = await import("./run.ts");
      await runInspect(model, command.optsWithGlobals<InspectFlags>());
    });
}
