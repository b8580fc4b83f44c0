// Finds plugins by name: --plugin flags, wrinklefree.config.ts, then what the app brings along.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { WrinkleFreeError } from "./errors.ts";
import type { Plugin } from "./plugin/plugin.ts";
import { Registry } from "./registry.ts";
import { checkPlugin } from "./registry-check.ts";

/** What wrinklefree.config.ts may export as default. */
export interface Config {
  /** Names of packages, or paths, of plugins to load. */
  readonly plugins?: readonly string[];
}

const configNames = ["wrinklefree.config.ts", "wrinklefree.config.mjs", "wrinklefree.config.js"];

async function importDefault(path: string, what: string): Promise<unknown> {
  try {
    const module = (await import(pathToFileURL(path).href)) as { default?: unknown };
    return module.default;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new WrinkleFreeError("plugin", `${what} cannot be loaded: ${reason}`, {
      file: path,
      cause,
    });
  }
}

/** The configuration of a folder, or an empty one. Throws `plugin` for one that cannot be read. */
export async function loadConfig(folder: string): Promise<Config> {
  const path = configNames.map((name) => join(folder, name)).find((name) => existsSync(name));
  if (path === undefined) return {};
  const config = await importDefault(path, path);
  const names = (config as Config | undefined)?.plugins ?? [];
  const valid = typeof config === "object" && config !== null && Array.isArray(names);
  if (!valid || !names.every((name) => typeof name === "string" && name !== "")) {
    throw new WrinkleFreeError(
      "plugin",
      `${path}: the default export must be { plugins: [NAME, ...] }`,
      {
        file: path,
        field: "plugins",
      },
    );
  }
  return config as Config;
}

/** The module file of a plugin, looked up from `folder` as that folder's own code would. */
export function resolvePlugin(name: string, folder: string): string {
  try {
    return Bun.resolveSync(name, folder);
  } catch (cause) {
    throw new WrinkleFreeError("not_found", `there is no plugin "${name}" in ${folder}`, {
      flag: "--plugin",
      hint: `install it there (npm install ${name}), or give a path that starts with ./`,
      cause,
    });
  }
}

/**
 * Module files of the plugins that the user asks for: those of the folder's configuration, then
 * `names`. Paths can be handed to a Worker, which loads them again with `loadRegistry`.
 */
export async function resolvePlugins(names: readonly string[], folder: string): Promise<string[]> {
  const config = await loadConfig(folder);
  const all = [...(config.plugins ?? []), ...names];
  return [...new Set(all.map((name) => resolvePlugin(name, folder)))];
}

/** Imports a plugin's module. A plugin is code and runs with all rights of the process. */
export async function loadPlugin(path: string): Promise<Plugin> {
  return checkPlugin(await importDefault(path, `plugin ${path}`), path);
}

/** A registry of the standard plugins and those at `paths` (from `resolvePlugins`). */
export async function loadRegistry(
  standard: readonly Plugin[],
  paths: readonly string[] = [],
): Promise<Registry> {
  return new Registry([...standard, ...(await Promise.all(paths.map(loadPlugin)))]);
}
