// The registry that the apps run with: the standard plugins and those that the user names.
import { loadRegistry, type Registry } from "../core/index.ts";
import { standard } from "../plugins/standard.ts";

/** `paths` are module files, as `resolvePlugins` returns them. */
export function createRegistry(paths: readonly string[] = []): Promise<Registry> {
  return loadRegistry(standard, paths);
}
