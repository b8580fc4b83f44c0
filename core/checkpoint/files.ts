// The JSON files beside a checkpoint's tensors: config, generation config, tokenizer, template.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { WrinkleFreeError } from "../errors.ts";
import type { ModelFile, TokenizerSource } from "../plugin/loader.ts";

type Json = Readonly<Record<string, unknown>>;

export interface CheckpointFiles {
  readonly config?: Json;
  readonly generationConfig?: Json;
  readonly tokenizer?: TokenizerSource;
  readonly chatTemplate?: string;
}

/** Reads what is there; a file that is there but damaged throws `bad_file`. */
export function readCheckpointFiles(folder: string): CheckpointFiles {
  const tokenizer = readJson(folder, "tokenizer.json");
  const tokenizerConfig = readJson(folder, "tokenizer_config.json") ?? {};
  const config = readJson(folder, "config.json");
  const pooling = readPooling(folder);
  return {
    config: config && pooling !== undefined ? { pooling_type: pooling, ...config } : config,
    generationConfig: readJson(folder, "generation_config.json"),
    tokenizer: tokenizer && { kind: "hf", tokenizer, config: tokenizerConfig },
    chatTemplate: readTemplate(folder, tokenizerConfig),
  };
}

/** What sentence-transformers call poolings, in GGUF's numbers. */
const poolings = [
  ["pooling_mode_mean_tokens", 1],
  ["pooling_mode_cls_token", 2],
  ["pooling_mode_lasttoken", 3],
] as const;

/** How an embedding model makes one vector of a text's; undefined for any other model. */
function readPooling(folder: string): number | undefined {
  const modes = readJson(folder, join("1_Pooling", "config.json"));
  return modes && poolings.find(([name]) => modes[name] === true)?.[1];
}

/** A JSON object file of `folder`, undefined where there is none. */
export function readJson(folder: string, name: string): Json | undefined {
  const path = join(folder, name);
  if (!existsSync(path)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new WrinkleFreeError("bad_file", `${path}: not JSON: ${(cause as Error).message}`, {
      file: path,
      hint: "Download the file again.",
      cause,
    });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw new WrinkleFreeError("bad_file", `${path}: not a JSON object`, { file: path });
}

/** chat_template.jinja, else tokenizer_config.json's (its "default" where it lists several). */
function readTemplate(folder: string, tokenizerConfig: Json): ModelFile["chatTemplate"] {
  const path = join(folder, "chat_template.jinja");
  if (existsSync(path)) return readFileSync(path, "utf8");
  const template = tokenizerConfig.chat_template;
  if (typeof template === "string") return template;
  if (!Array.isArray(template)) return undefined;
  const named = template.find((entry) => entry?.name === "default") ?? template[0];
  return typeof named?.template === "string" ? named.template : undefined;
}
