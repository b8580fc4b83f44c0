// Runs the project's Zig compiler with its caches inside the project: node scripts/zig.mjs build.
import { spawnSync } from "node:child_process";
import { root, zig, zigEnvironment } from "./setup.mjs";

const result = spawnSync(zig(), process.argv.slice(2), {
  cwd: root,
  env: zigEnvironment(),
  stdio: "inherit",
});
process.exitCode = result.status ?? 1;
