// A Python with packages for tests: a virtual environment in .cache, made once, or the reason why not.
import { join } from "node:path";
import { pythonEnvironment } from "../../apps/eval/python.ts";
import { root } from "./stranger.ts";

/**
 * Path of a Python in which `packages` (pip's requirements) are installed, in the environment `name`;
 * undefined, and the reason printed, where that cannot be had.
 */
export function pythonWith(name: string, packages: readonly string[]): string | undefined {
  return pythonOr(name, () => pythonEnvironment(join(root, ".cache", "python", name), packages));
}

/** What `make` returns, or undefined and its reason printed. */
export function pythonOr(name: string, make: () => string): string | undefined {
  try {
    return make();
  } catch (error) {
    const reason = (error as Error).message;
    console.warn(`python: ${name}: ${reason}; the tests that need it are left out`);
    return undefined;
  }
}
