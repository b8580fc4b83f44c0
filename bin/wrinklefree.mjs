#!/usr/bin/env node
// Starts the wrinklefree command under the Bun that came with the package, whatever runs this file.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBun, runBun } from "./bun.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
// A package manager puts our dependencies beside this package, or below it.
const modules = [join(root, "node_modules"), dirname(root)];
const bun = process.versions.bun
  ? process.execPath
  : modules.map(findBun).find((path) => path !== undefined);

if (bun === undefined) {
  console.error("error: the Bun runtime is missing beside this package");
  console.error(
    `hint: install again without --omit=optional (${process.platform}-${process.arch})`,
  );
  process.exit(1);
}
runBun(bun, [join(root, "apps", "cli", "main.ts"), ...process.argv.slice(2)]);
