// Where the project's own files are: beside the code, or unpacked from the one executable.
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Whether this is one executable (`wrinklefree bundle`): Bun shows its modules below such a root. */
export const compiled = /\/(\$bunfs|~BUN)\//.test(import.meta.url);

/** Names the folder that the executable unpacked its files into. Its Workers have it, too. */
export const filesVariable = "WRINKLEFREE_FILES";

/** Path of the project's file or folder `path`, relative to the project's root. */
export function installed(path: string): string {
  const files = process.env[filesVariable];
  if (compiled && files !== undefined) return join(files, path);
  return fileURLToPath(new URL(`../${path}`, import.meta.url));
}

/** A module to start a Worker with, by its path from the project's root ("apps/worker.ts"). */
export function entryPoint(path: string): URL {
  if (compiled) {
    const root = import.meta.url.replace(/(\/(?:\$bunfs|~BUN)\/root\/).*/, "$1");
    return new URL(path.replace(/\.ts$/, ".js"), root);
  }
  return new URL(`../${path}`, import.meta.url);
}
