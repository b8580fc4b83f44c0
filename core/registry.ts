// The registry: finds loaders, quantizers, kernels, routers, samplers and architectures by name.
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { appendedModel } from "./appended.ts";
import { PartContainer, type PartKind, type Parts, partKinds } from "./container.ts";
import { WrinkleFreeError } from "./errors.ts";
import { nearest } from "./nearest.ts";
import type { Architecture } from "./plugin/architecture.ts";
import type { Kernel } from "./plugin/kernel.ts";
import type { Loader } from "./plugin/loader.ts";
import type { Plugin } from "./plugin/plugin.ts";
import type { Quantizer } from "./plugin/quantizer.ts";
import type { Router } from "./plugin/router.ts";
import type { Sampler } from "./plugin/sampler.ts";
import { checkPlugin } from "./registry-check.ts";

/** The names under which a part is found; no two plugins may claim one. */
const namesOf: { [K in PartKind]: (part: Parts[K]) => readonly string[] } = {
  loaders: (part) => [part.name],
  quantizers: (part) => [part.format],
  kernels: (part) => [part.name],
  routers: (part) => [part.name],
  samplers: (part) => [part.name],
  architectures: (part) => part.names,
};

const singular: Record<PartKind, string> = {
  loaders: "loader",
  quantizers: "format",
  kernels: "kernel library",
  routers: "router",
  samplers: "sampler",
  architectures: "architecture",
};

/** The parts of a set of plugins, built once per runtime. */
export class Registry {
  /** In the order given, each once. */
  readonly plugins: readonly Plugin[];
  readonly #parts = new PartContainer();
  readonly #byName = new Map<PartKind, Map<string, unknown>>();

  /** Throws `plugin` for a broken plugin, two plugins of one name, or two parts of one name. */
  constructor(plugins: readonly Plugin[]) {
    this.plugins = [...new Set(plugins)];
    const names = new Set<string>();
    const owners = new Map<string, string>();
    for (const plugin of this.plugins) {
      checkPlugin(plugin, "(unnamed)");
      if (names.has(plugin.name)) {
        throw new WrinkleFreeError("plugin", `two plugins are named "${plugin.name}"`, {
          hint: "load only one of them; see --plugin and wrinklefree.config.ts",
        });
      }
      names.add(plugin.name);
      for (const kind of partKinds) this.#add(plugin, kind, owners);
    }
  }

  #add<K extends PartKind>(plugin: Plugin, kind: K, owners: Map<string, string>): void {
    const byName = this.#byName.get(kind) ?? new Map<string, unknown>();
    this.#byName.set(kind, byName);
    for (const part of (plugin[kind] ?? []) as readonly Parts[K][]) {
      for (const name of namesOf[kind](part)) {
        const owner = owners.get(`${kind}:${name}`);
        if (owner !== undefined) {
          const both =
            owner === plugin.name ? `twice by ${owner}` : `by ${owner} and by ${plugin.name}`;
          throw new WrinkleFreeError("plugin", `${singular[kind]} "${name}" is provided ${both}`, {
            hint: "load only one of them, or rename one",
          });
        }
        owners.set(`${kind}:${name}`, plugin.name);
        byName.set(name, part);
      }
      this.#parts.add(kind, part);
    }
  }

  #find<K extends PartKind>(kind: K, name: string): Parts[K] {
    const found = this.#byName.get(kind)?.get(name);
    if (found !== undefined) return found as Parts[K];
    const known = [...(this.#byName.get(kind)?.keys() ?? [])];
    const guess = nearest(name, known);
    const suggestion = guess === undefined ? "" : `; did you mean "${guess}"?`;
    throw new WrinkleFreeError(
      "not_found",
      `no plugin provides the ${singular[kind]} "${name}"${suggestion}`,
      { hint: `known: ${known.join(", ") || "none"}; --plugin NAME loads more` },
    );
  }

  get loaders(): readonly Loader[] {
    return this.#parts.all("loaders");
  }

  /** In plugin order; where samplers are listed is their default place in the chain. */
  get samplers(): readonly Sampler[] {
    return this.#parts.all("samplers");
  }

  get quantizers(): readonly Quantizer[] {
    return this.#parts.all("quantizers");
  }

  get kernels(): readonly Kernel[] {
    return this.#parts.all("kernels");
  }

  get routers(): readonly Router[] {
    return this.#parts.all("routers");
  }

  get architectures(): readonly Architecture[] {
    return this.#parts.all("architectures");
  }

  /** Throws `not_found` for a format that no plugin provides, with the nearest name. */
  quantizer(format: string): Quantizer {
    return this.#find("quantizers", format);
  }

  /** The quantizer that claims a GGML type id; the plugin loaded last wins. */
  quantizerByGgufType(id: number): Quantizer | undefined {
    return this.quantizers.findLast((quantizer) => quantizer.ggufType === id);
  }

  router(name: string): Router {
    return this.#find("routers", name);
  }

  sampler(name: string): Sampler {
    return this.#find("samplers", name);
  }

  /** By `general.architecture`. */
  architecture(name: string): Architecture {
    return this.#find("architectures", name);
  }

  /** By config.json's `architectures`, then its `model_type`. Throws `unsupported`; `path` names the file. */
  architectureForHuggingFace(
    config: Readonly<Record<string, unknown>>,
    path = "config.json",
  ): Architecture {
    const listed = Array.isArray(config.architectures) ? config.architectures : [];
    const names = [...listed, config.model_type].filter((name) => typeof name === "string");
    for (const name of names) {
      const found = this.architectures.findLast((a) => a.huggingFace?.names.includes(name));
      if (found !== undefined) return found;
    }
    const known = this.architectures.flatMap(
      (architecture) => architecture.huggingFace?.names ?? [],
    );
    const guess = names.map((name) => nearest(name, known)).find((name) => name !== undefined);
    throw new WrinkleFreeError(
      "unsupported",
      names.length === 0
        ? `${path} names no model family: it has neither architectures nor model_type`
        : `${path}: no plugin knows the model family ${names.join(" / ")}`,
      {
        file: path,
        field: "architectures",
        hint: `${guess === undefined ? "" : `did you mean ${guess}? `}known: ${known.join(", ") || "none"}`,
      },
    );
  }

  /** The loader that reads `path`. Throws `not_found` for a missing path, `unsupported` for no loader. */
  loader(path: string): Loader {
    const head = readHead(path);
    const loader = this.loaders.find((candidate) => candidate.accepts(path, head));
    if (loader !== undefined) return loader;
    const what =
      head.length === 0 ? "an empty file or a directory without a model" : "not a known model file";
    throw new WrinkleFreeError("unsupported", `${path}: ${what}`, {
      file: path,
      hint: `loaders tried: ${this.loaders.map((candidate) => candidate.name).join(", ") || "none"}`,
    });
  }
}

/**
 * The first 64 bytes of a file, or of the model appended to it; empty for a directory. Throws
 * `not_found`, or `bad_file` where unreadable.
 */
function readHead(path: string): Uint8Array {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) return new Uint8Array(0);
    // Reading a pipe or a device would block or never end.
    if (!stat.isFile()) throw new Error("it is neither a file nor a directory");
    const file = openSync(path, "r");
    try {
      const head = new Uint8Array(64);
      return head.subarray(0, readSync(file, head, 0, 64, appendedModel(path)?.offset ?? 0));
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw missing
      ? new WrinkleFreeError("not_found", `${path}: there is no such file or directory`, {
          file: path,
          cause,
        })
      : new WrinkleFreeError("bad_file", `${path}: ${(cause as Error).message}`, {
          file: path,
          cause,
        });
  }
}
