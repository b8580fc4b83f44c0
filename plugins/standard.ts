// The set of plugins that the apps use.
import type { Plugin } from "../core/index.ts";

export const standard: readonly Plugin[] = [];
