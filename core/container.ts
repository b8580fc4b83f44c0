// The dependency container: holds every part that the loaded plugins provide, one child per runtime.
import "reflect-metadata";
import { type DependencyContainer, container as root } from "tsyringe";
import type { Architecture } from "./plugin/architecture.ts";
import type { Kernel } from "./plugin/kernel.ts";
import type { Loader } from "./plugin/loader.ts";
import type { Quantizer } from "./plugin/quantizer.ts";
import type { Router } from "./plugin/router.ts";
import type { Sampler } from "./plugin/sampler.ts";

/** The kinds of parts, by the name of their list in a plugin. */
export interface Parts {
  loaders: Loader;
  quantizers: Quantizer;
  kernels: Kernel;
  routers: Router;
  samplers: Sampler;
  architectures: Architecture;
}

export type PartKind = keyof Parts;

export const partKinds: readonly PartKind[] = [
  "loaders",
  "quantizers",
  "kernels",
  "routers",
  "samplers",
  "architectures",
];

// Symbol.for: two copies of this module in one process (a plugin that brought its own) agree.
const token = (kind: PartKind): symbol => Symbol.for(`wrinklefree:${kind}`);

/** Parts by kind, in the order in which they were added. */
export class PartContainer {
  readonly #container: DependencyContainer = root.createChildContainer();

  add<K extends PartKind>(kind: K, part: Parts[K]): void {
    this.#container.register(token(kind), { useValue: part });
  }

  all<K extends PartKind>(kind: K): readonly Parts[K][] {
    // resolveAll throws where nothing is registered, and looks at the parent's list otherwise.
    if (!this.#container.isRegistered(token(kind))) return [];
    return this.#container.resolveAll<Parts[K]>(token(kind));
  }
}
