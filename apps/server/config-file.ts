// Reads flags of the serve command from a TOML or JSON file; the command line and the environment win.
import { readFileSync } from "node:fs";
import type { Command, Option } from "commander";
import { nearest, WrinkleFreeError } from "../../core/index.ts";
import { ignoredFlags, ignoredWithValue, spellings } from "./flag-list.ts";
import { type Flag, type FlagGroup, makeOption, parseText } from "./flags.ts";

/**
 * Sets the flags that `path` names: `ctx-size = 8192`, `model = ["a.gguf", "b.gguf"]`,
 * `metrics = true`, each under a flag's long name. Throws `usage` naming the key that is wrong.
 */
export function readConfigFile(command: Command, groups: readonly FlagGroup[], path: string): void {
  const flags = new Map<string, { option: Option; flag: Flag }>();
  for (const flag of groups.flatMap((group) => group.flags)) {
    const option = makeOption(flag);
    if (option.long) flags.set(option.long, { option, flag });
  }
  for (const [key, value] of Object.entries(parseFile(path))) {
    const given = `--${key.replaceAll("_", "-")}`;
    const name = spellings[given] ?? given;
    if (ignoredFlags.includes(name) || ignoredWithValue.includes(name)) continue;
    const known = flags.get(name);
    if (!known || name === "--config") throw unknown(path, key, [...flags.keys()]);
    const attribute = known.option.attributeName();
    if (command.getOptionValueSource(attribute) === "cli") continue;
    const parsed = readValue(command, known, `${path}: ${key}`, value);
    command.setOptionValueWithSource(attribute, parsed, "config");
  }
}

function parseFile(path: string): object {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const reason = (cause as { code?: string }).code ?? String(cause);
    throw wrong(`--config ${path}: cannot be read (${reason})`);
  }
  try {
    const value: unknown = path.endsWith(".json") ? JSON.parse(text) : Bun.TOML.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch (error) {
    throw wrong(`${path} cannot be parsed: ${(error as Error).message}`);
  }
  throw wrong(`${path} must hold one object of flags`);
}

function readValue(
  command: Command,
  { option, flag }: { option: Option; flag: Flag },
  place: string,
  value: unknown,
): unknown {
  if (option.isBoolean() || option.negate) {
    if (typeof value !== "boolean") throw wrong(`${place} must be true or false`);
    return option.negate ? !value : value;
  }
  const values = Array.isArray(value) ? value : [value];
  const plain = values.every((v) => typeof v === "string" || typeof v === "number");
  if (!plain || (Array.isArray(value) && !flag.several)) {
    throw wrong(
      `${place} must be ${flag.several ? "text or a list of texts" : "text or a number"}`,
    );
  }
  return parseText(command, option, flag, place, values.join(","));
}

function unknown(path: string, key: string, known: readonly string[]): WrinkleFreeError {
  const names = known.map((name) => name.slice(2));
  const near = nearest(key, names);
  return wrong(`${path}: there is no flag "${key}"`, near && `Did you mean "${near}"?`);
}

function wrong(message: string, hint?: string): WrinkleFreeError {
  return new WrinkleFreeError("usage", message, { flag: "--config", hint });
}
