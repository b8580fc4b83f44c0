#!/usr/bin/env node
// Starts the wrinklefree command under the Bun that came with the package, whatever runs this file.
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBun } from "./find-bun.mjs";

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
const main = join(root, "apps", "cli", "main.ts");
const child = spawn(bun, [main, ...process.argv.slice(2)], { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => child.kill(signal));
}
child.on("error", (error) => {
  console.error(`error: ${bun} cannot be started: ${error.message}`);
  process.exitCode = 1;
});
child.on("exit", (code, signal) => {
  process.exitCode = code ?? (signal === "SIGINT" ? 130 : signal === "SIGTERM" ? 143 : 1);
});
