// The flags of the serve command: llama-server's names, their environment variables, their checks.
import { type Command, InvalidArgumentError, Option } from "commander";

export interface Flag {
  /** As commander takes them. */
  readonly flags: string;
  readonly text: string;
  /** Environment variables are WF_<env> and LLAMA_ARG_<env>; a flag wins over them. */
  readonly env?: string;
  /** One more environment variable, by its whole name. */
  readonly alsoEnv?: string;
  /** May be given several times, or with commas. */
  readonly several?: boolean;
  readonly default?: unknown;
  readonly choices?: readonly string[];
  readonly parse?: (text: string, previous: never) => unknown;
  /** Not in the help: another spelling, or accepted for compatibility only. */
  readonly hidden?: boolean;
}

export interface FlagGroup {
  readonly heading: string;
  readonly flags: readonly Flag[];
}

/** An integer from `low` to `high`. */
export function integer(low: number, high = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^-?\d+$/.test(text.trim()) && value >= low && value <= high) return value;
    const to = high === Number.MAX_SAFE_INTEGER ? "" : ` to ${high}`;
    throw new InvalidArgumentError(`It must be an integer from ${low}${to}.`);
  };
}

/** A finite number from `low` to `high`. */
export function decimal(low = -Infinity, high = Infinity): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isFinite(value) && value >= low && value <= high) return value;
    throw new InvalidArgumentError(
      `It must be a number${low > -Infinity ? ` from ${low}` : ""}${high < Infinity ? ` to ${high}` : ""}.`,
    );
  };
}

const units: Readonly<Record<string, number>> = { "": 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };

/** A number of bytes: "2g", "512m", "1073741824". */
export function bytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg]?)i?b?$/i.exec(text.trim());
  const unit = units[match?.[2]?.toLowerCase() ?? ""];
  if (!match || unit === undefined) {
    throw new InvalidArgumentError("It must be a size such as 512m or 4g.");
  }
  return Math.floor(Number(match[1]) * unit);
}

/** Collects a repeatable flag; commas separate values too. */
function collect(text: string, previous: string[] | undefined): string[] {
  const values = text.split(",").map((value) => value.trim());
  return [...(previous ?? []), ...values.filter((value) => value !== "")];
}

/** Adds the flags to a command, group by group. */
export function addFlags(command: Command, groups: readonly FlagGroup[]): void {
  for (const group of groups) {
    command.optionsGroup(group.heading);
    for (const flag of group.flags) command.addOption(makeOption(flag));
  }
}

/** The flag as commander has it. */
export function makeOption(flag: Flag): Option {
  const option = new Option(flag.flags, flag.text);
  if (flag.default !== undefined) option.default(flag.default);
  if (flag.choices) option.choices([...flag.choices]);
  else if (flag.several) option.argParser(collect);
  else if (flag.parse) option.argParser(flag.parse as (text: string) => unknown);
  if (flag.hidden) option.hideHelp();
  return option;
}

/** Values of the environment for flags that the command line did not give. */
export function readEnvironment(
  command: Command,
  groups: readonly FlagGroup[],
  environment: Readonly<Record<string, string | undefined>>,
): void {
  for (const flag of groups.flatMap((group) => group.flags)) {
    const option = makeOption(flag);
    const name = option.attributeName();
    if (!flag.env || command.getOptionValueSource(name) === "cli") continue;
    for (const variable of [`WF_${flag.env}`, `LLAMA_ARG_${flag.env}`, flag.alsoEnv ?? ""]) {
      const text = environment[variable];
      if (text === undefined || text === "") continue;
      const value = parseText(command, option, flag, variable, text);
      command.setOptionValueWithSource(name, value, "env");
      break;
    }
  }
}

/** A value that comes as text from `place`, checked as the flag is. */
export function parseText(
  command: Command,
  option: Option,
  flag: Flag,
  place: string,
  text: string,
): unknown {
  if (option.isBoolean() || option.negate) {
    return /^(1|true|on|yes|enabled)$/i.test(text) !== option.negate;
  }
  try {
    if (flag.choices && !flag.choices.includes(text)) {
      throw new InvalidArgumentError(`It must be one of ${flag.choices.join(", ")}.`);
    }
    if (flag.several) return collect(text, undefined);
    return flag.parse ? flag.parse(text, undefined as never) : text;
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    return command.error(`error: ${place}=${text} is invalid. ${error.message}`);
  }
}
