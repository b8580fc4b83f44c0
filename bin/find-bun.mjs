// Finds the Bun binary that the npm package "bun" brought along, with or without its postinstall.
import { spawnSync } from "node:child_process";
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
