// The list of commands, in the order in which the help shows them.
import type { Command } from "commander";
import { batchCommand } from "../batch/command.ts";
import { benchCommand } from "../bench/command.ts";
import { bundleCommand } from "../bundle/command.ts";
import { chatCommand } from "../chat/command.ts";
import { convertCommand } from "../convert/command.ts";
import { evalCommand } from "../eval/command.ts";
import { inspectCommand } from "../inspect/command.ts";
import { doctorCommand, listCommand, pullCommand, removeCommand } from "../manage/command.ts";
import { serveCommand } from "../server/command.ts";
import { validateCommand } from "../validate/command.ts";

/** Each makes its command anew, so that tests can parse more than once. */
export const commands: readonly (() => Command)[] = [
  serveCommand,
  chatCommand,
  pullCommand,
  listCommand,
  removeCommand,
  batchCommand,
  convertCommand,
  inspectCommand,
  bundleCommand,
  doctorCommand,
  benchCommand,
  validateCommand,
  evalCommand,
];
