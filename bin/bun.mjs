// Finds and runs the Bun binary that the npm package "bun" brought along.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const starts = (path) => spawnSync(path, ["--version"], { stdio: "ignore" }).status === 0;

/** The binary below `modules` (a node_modules folder) that runs here; undefined without one. */
export function findBun(modules) {
  // The postinstall moves the platform package's binary here, over a small placeholder.
  const moved = join(modules, "bun", "bin", "bun.exe");
  if (existsSync(moved) && statSync(moved).size > 1 << 20) return moved;
  const scope = join(modules, "@oven");
  if (!existsSync(scope)) return undefined;
  const exe = process.platform === "win32" ? "bun.exe" : "bun";
  const present = readdirSync(scope)
    .map((name) => join(scope, name, "bin", exe))
    .filter((path) => existsSync(path));
  // Both the glibc and the musl package may be installed: only one of them starts.
  return present.length < 2 ? present[0] : present.find(starts);
}

/** Runs Bun with this process's terminal, and ends as it ends. Signals are passed on. */
export function runBun(bun, args, options = {}) {
  const child = spawn(bun, args, { stdio: "inherit", ...options });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => child.kill(signal));
  }
  // npm and npx run us in a shell, which ends at SIGTERM without passing it on.
  if (process.env.npm_lifecycle_event !== undefined) {
    const parent = process.ppid;
    const watch = () => process.ppid === parent || child.kill("SIGTERM");
    setInterval(watch, 500).unref();
  }
  child.on("error", (error) => {
    console.error(`error: ${bun} cannot be started: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? (signal === "SIGINT" ? 130 : signal === "SIGTERM" ? 143 : 1);
  });
}
