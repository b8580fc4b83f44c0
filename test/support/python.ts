// A Python with packages for tests: a virtual environment in .cache, made once, or the reason why not.
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./stranger.ts";

const names = ["python3.13", "python3.12", "python3.11", "python3", "python"];

/** A Python of at least 3.11; what the clients need. */
function systemPython(): string | undefined {
  const check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
  return names.find((name) => {
    const path = Bun.which(name);
    return path !== null && Bun.spawnSync([path, "-c", check]).exitCode === 0;
  });
}

/**
 * Path of a Python in which `packages` (pip's requirements) are installed, in the environment `name`;
 * undefined, and the reason printed, where that cannot be had.
 */
export function pythonWith(name: string, packages: readonly string[]): string | undefined {
  const folder = join(root, ".cache", "python", name);
  const bin = join(folder, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  const stamp = join(folder, Bun.hash(packages.join("\n")).toString(36));
  if (existsSync(stamp) && existsSync(bin)) return bin;
  const python = systemPython();
  if (python === undefined) {
    return without(`${name}: there is no Python 3.11 or later with venv on the PATH`);
  }
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, ".."), { recursive: true });
  const quiet = ["--quiet", "--disable-pip-version-check", "--no-input"];
  for (const command of [
    [python, "-m", "venv", folder],
    [bin, "-m", "pip", "install", ...quiet, ...packages],
  ]) {
    const { exitCode, stderr } = Bun.spawnSync(command);
    if (exitCode !== 0) {
      const last = stderr.toString().trim().split("\n").at(-1);
      return without(`${name}: ${command.slice(0, 4).join(" ")} failed: ${last}`);
    }
  }
  writeFileSync(stamp, packages.join("\n"));
  return bin;
}

function without(reason: string): undefined {
  console.warn(`python: ${reason}; the tests that need it are left out`);
}
