// The model that is served when none is named.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { WrinkleFreeError } from "../../core/index.ts";

/** Path of the built-in model. Throws `not_found` when the installation lacks it. */
export function builtInModel(): string {
  const path = fileURLToPath(new URL("../models/tern-i2_s.gguf", import.meta.url));
  if (existsSync(path)) return path;
  throw new WrinkleFreeError("not_found", "this installation has no built-in model", {
    file: path,
    flag: "--model",
    hint: "Give a model with -m FILE.",
  });
}

export const builtInNote = `\
No model was given, so this serves the built-in one: tern, a very small BitNet (4 million
parameters) that tells short stories. It shows that all works; it knows nothing.
A real one: download a ternary GGUF, for example ggml-model-i2_s.gguf from
https://huggingface.co/microsoft/bitnet-b1.58-2B-4T-gguf, and start with -m FILE.
`;
