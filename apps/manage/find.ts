// Finds the model that a name means, wherever a command takes a file: here, or on the hub.
import { existsSync } from "node:fs";
import { Meter } from "../convert/meter.ts";
import { parseName, unknownModel } from "./name.ts";
import { findLocal } from "./store.ts";

/**
 * Path of a model: a file or folder, else owner/name, owner/name:file.gguf or a short name. What is
 * not on this machine is pulled. Throws `not_found`, and what pulling throws.
 */
export async function findModelFile(
  name: string,
  plugins: readonly string[] = [],
): Promise<string> {
  if (existsSync(name)) return name;
  const parsed = parseName(name);
  if (parsed === undefined) throw unknownModel(name);
  const here = findLocal(parsed);
  if (here) return here.path;
  const { pullModel } = await import("./pull.ts");
  const meter = new Meter();
  try {
    return (await pullModel(parsed, { plugins, progress: meter.show })).path;
  } finally {
    meter.clear();
  }
}
