// The model that is served when none is named.
import { existsSync } from "node:fs";
import { appendedModel } from "../../core/appended.ts";
import { WrinkleFreeError } from "../../core/index.ts";
import { compiled, installed } from "../../core/installation.ts";

/** Path of the model that comes along: an executable's own, else the built-in one. Throws `not_found`. */
export function builtInModel(): string {
  const path = compiled ? process.execPath : installed("apps/models/tern-i2_s.gguf");
  if (existsSync(path)) return path;
  throw new WrinkleFreeError("not_found", "this installation has no built-in model", {
    file: path,
    flag: "--model",
    hint: "Give a model with -m FILE.",
  });
}

/** Says what is served when no model is named; nothing in an executable that carries another one. */
export function builtInNote(): string {
  return compiled && !appendedModel(process.execPath)?.builtIn ? "" : note;
}

const note = `\
No model was given, so this serves the built-in one: tern, a very small BitNet (4 million
parameters) that tells short stories. It shows that all works; it knows nothing.
A real one: download a ternary GGUF, for example ggml-model-i2_s.gguf from
https://huggingface.co/microsoft/bitnet-b1.58-2B-4T-gguf, and start with -m FILE.
`;
