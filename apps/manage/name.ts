// What a model's name means: a short name, owner/name, or owner/name:file.gguf.
import { nearest, WrinkleFreeError } from "../../core/index.ts";
import { aliases } from "./aliases.ts";

/** A repository of the hub, and perhaps one file of it. */
export interface ModelName {
  readonly repo: string;
  readonly file?: string;
}

const repository = /^([\w.-]+\/[\w.-]+)(?::([\w./-]+))?$/;

/** The repository that a name means; undefined for what can only be a path, or nothing. */
export function parseName(name: string): ModelName | undefined {
  const source = Object.hasOwn(aliases, name) ? (aliases[name]?.source ?? name) : name;
  const [, repo, file] = repository.exec(source) ?? [];
  if (repo === undefined || /^\.|\.(gguf|safetensors|pt|bin)$/.test(repo)) return undefined;
  return { repo, file };
}

/** The error for a name that is neither a path nor a repository. */
export function unknownModel(name: string): WrinkleFreeError {
  const guess = /[/.]/.test(name) ? undefined : nearest(name, Object.keys(aliases));
  return new WrinkleFreeError("not_found", `there is no model file or folder ${name}`, {
    file: name,
    flag: "--model",
    hint: guess
      ? `Did you mean ${guess}? "wrinklefree pull --list" shows the short names.`
      : "Check the path; owner/name or owner/name:file.gguf fetches from the Hugging Face hub.",
  });
}
