// The registry that the apps run with: the standard plugins and those that the user names.
import { loadRegistry, type Registry, resolvePlugins } from "../core/index.ts";
import { standard } from "../plugins/standard.ts";

/** `paths` are module files, as `resolvePlugins` returns them. */
export function createRegistry(paths: readonly string[] = []): Promise<Registry> {
  return loadRegistry(standard, paths);
}

/** Module files of the plugins that the user or this folder's configuration names; says what they are. */
export async function namedPlugins(names: readonly string[] = []): Promise<string[]> {
  const paths = await resolvePlugins(names, process.cwd());
  for (const path of paths) {
    process.stderr.write(`note: plugin ${path} is code: it has all rights of this process\n`);
  }
  return paths;
}
