// The flags that replace the samplers' own defaults, under llama-server's names.
import { Option } from "commander";
import { decimal, type Flag, type FlagGroup, integer } from "./flags.ts";

const most = 1 << 30;

interface SamplingFlag extends Flag {
  /** The sampling option of requests that it is the default of. */
  readonly option: string;
}

const sampling: readonly SamplingFlag[] = [
  flag("--temp <t>", "temperature", decimal(0), "temperature; 0: greedy"),
  flag("--top-k <k>", "top_k", integer(0, most), "keep the k likeliest tokens"),
  flag("--top-p <p>", "top_p", decimal(0, 1), "keep the likeliest tokens of total probability p"),
  flag("--min-p <p>", "min_p", decimal(0, 1), "drop tokens less likely than p times the likeliest"),
  flag("--typical <p>", "typical_p", decimal(0, 1), "keep tokens of typical surprise; 1: all"),
  flag("--top-n-sigma <n>", "top_n_sigma", decimal(-1), "keep logits within n sigma of the best"),
  flag("--xtc-probability <p>", "xtc_probability", decimal(0, 1), "chance to drop top choices"),
  flag("--xtc-threshold <p>", "xtc_threshold", decimal(0, 1), "what a top choice is, at least"),
  flag("--repeat-last-n <n>", "repeat_last_n", integer(-1, most), "tokens that penalties look at"),
  flag("--repeat-penalty <r>", "repeat_penalty", positive, "penalty of repeated tokens; 1: none"),
  flag("--presence-penalty <p>", "presence_penalty", decimal(), "penalty of tokens seen"),
  flag("--frequency-penalty <p>", "frequency_penalty", decimal(), "penalty for each time seen"),
  flag("--dry-multiplier <m>", "dry_multiplier", decimal(0), "penalty of copies; 0: none"),
  flag("--dry-base <b>", "dry_base", decimal(0), "its growth with each token of the copy"),
  flag("--dry-allowed-length <n>", "dry_allowed_length", integer(0, most), "copies that are free"),
  flag("--dry-penalty-last-n <n>", "dry_penalty_last_n", integer(-1, most), "tokens it looks at"),
  flag("--dynatemp-range <d>", "dynatemp_range", decimal(0), "temperature by entropy, +- d"),
  flag("--dynatemp-exp <e>", "dynatemp_exponent", decimal(0), "exponent of that entropy"),
  flag("--mirostat <n>", "mirostat", integer(0, 2), "0: off, else version 1 or 2"),
  flag("--mirostat-ent <bits>", "mirostat_tau", decimal(0), "the surprise that mirostat aims at"),
  flag("--mirostat-lr <rate>", "mirostat_eta", decimal(0), "mirostat's learning rate"),
  flag("--samplers <names>", "samplers", undefined, "the order: names with ';', or letters"),
];

export const samplingGroup: FlagGroup = {
  heading: "Defaults of requests:",
  flags: [
    {
      flags: "-n, --n-predict <n>",
      env: "N_PREDICT",
      parse: integer(-1, most),
      default: -1,
      text: "tokens of an answer at most, whatever requests say; -1: until the context is full",
    },
    ...sampling,
    {
      flags: "--seed <n>",
      env: "SEED",
      parse: integer(-1, 2 ** 32 - 1),
      text: "seed of requests without one",
    },
  ],
};

function flag(flags: string, option: string, parse: Flag["parse"], text: string): SamplingFlag {
  const env = flags.slice(2).split(" ")[0]?.replaceAll("-", "_").toUpperCase();
  return { flags, option, parse, text, env };
}

function positive(text: string): number {
  return decimal(Number.MIN_VALUE)(text);
}

/** The sampling options that flags were given for. */
export function samplingDefaults(values: object): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const { flags, option } of sampling) {
    const value = (values as Record<string, unknown>)[new Option(flags).attributeName()];
    if (value !== undefined) options[option] = value;
  }
  return options;
}
