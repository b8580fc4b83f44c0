// Checks that what a module calls a plugin keeps the interface, before anything of it is used.
import { type PartKind, partKinds } from "./container.ts";
import { WrinkleFreeError } from "./errors.ts";
import { type Plugin, pluginApi } from "./plugin/plugin.ts";

type Kind = "string" | "function" | "object" | "strings" | "library";

/** The members without which a part cannot be used. */
const required: Record<PartKind, Readonly<Record<string, Kind>>> = {
  loaders: { name: "string", accepts: "function", open: "function" },
  quantizers: { format: "string", byteLength: "function", encode: "function", decode: "function" },
  kernels: { name: "string", library: "library" },
  routers: { name: "string", route: "function" },
  samplers: { name: "string", options: "object", create: "function" },
  architectures: { names: "strings", activation: "string", record: "function" },
};

function matches(value: unknown, kind: Kind): boolean {
  switch (kind) {
    case "string":
      return typeof value === "string" && value !== "";
    case "strings":
      return Array.isArray(value) && value.length > 0 && value.every((v) => matches(v, "string"));
    case "library":
      return matches(value, "string") || value instanceof URL;
    case "object":
      return typeof value === "object" && value !== null;
    case "function":
      return typeof value === "function";
  }
}

function bad(plugin: string, problem: string, hint?: string): WrinkleFreeError {
  return new WrinkleFreeError("plugin", `plugin ${plugin}: ${problem}`, { hint });
}

/**
 * Returns `value` as a Plugin. `origin` names it in messages until its own name is known.
 * Throws `plugin` when it is none, has another api version, or a part lacks a member.
 */
export function checkPlugin(value: unknown, origin: string): Plugin {
  if (typeof value !== "object" || value === null) {
    const hint =
      "end the module with: const plugin: Plugin = definePlugin({ name, ... }); export default plugin";
    throw bad(origin, "its default export is not a plugin", hint);
  }
  const plugin = value as Record<string, unknown>;
  if (!matches(plugin.name, "string"))
    throw bad(origin, "it has no name", "give definePlugin a name");
  const name = plugin.name as string;
  if (plugin.api !== pluginApi) {
    const version = plugin.api === undefined ? "no api version" : `api version ${plugin.api}`;
    const hint =
      plugin.api === undefined
        ? "make it with definePlugin"
        : "install versions that fit each other";
    throw bad(name, `it has ${version}, this build speaks version ${pluginApi}`, hint);
  }
  for (const kind of partKinds) checkParts(name, kind, plugin[kind]);
  return value as Plugin;
}

function checkParts(plugin: string, kind: PartKind, parts: unknown): void {
  if (parts === undefined) return;
  if (!Array.isArray(parts)) throw bad(plugin, `"${kind}" is not a list`);
  parts.forEach((part: unknown, index) => {
    if (typeof part !== "object" || part === null) {
      throw bad(plugin, `${kind}[${index}] is not an object`);
    }
    for (const [member, type] of Object.entries(required[kind])) {
      if (matches((part as Record<string, unknown>)[member], type)) continue;
      const wanted = { library: "path or URL", strings: "list of strings" }[type as string] ?? type;
      throw bad(plugin, `${kind}[${index}].${member} is missing or not a ${wanted}`);
    }
  });
}
