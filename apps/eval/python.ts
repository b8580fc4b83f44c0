// A Python with packages in a virtual environment that is made once.
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { WrinkleFreeError } from "../../core/index.ts";

const names = ["python3.14", "python3.13", "python3.12", "python3.11", "python3", "python"];

/** A Python of at least 3.11 that can make environments. */
function systemPython(): string | undefined {
  const check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
  return names.find((name) => {
    const path = Bun.which(name);
    return path !== null && Bun.spawnSync([path, "-c", check]).exitCode === 0;
  });
}

/** Where commands keep what they can make again: below XDG_CACHE_HOME or ~/.cache. */
export function cacheFolder(variables: NodeJS.ProcessEnv = process.env): string {
  const base = variables.XDG_CACHE_HOME || join(variables.HOME ?? homedir(), ".cache");
  return join(base, "wrinklefree");
}

/**
 * Path of the Python in the environment `folder`, in which `requirements` (pip's lines) are installed.
 * Made anew when they change; the folder must be of this use only. Throws `unavailable` where there is
 * no Python, or pip cannot have the packages.
 */
export function pythonEnvironment(folder: string, requirements: readonly string[]): string {
  const bin = join(folder, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  const lines = `${requirements.join("\n")}\n`;
  const stamp = join(folder, Bun.hash(requirements.join("\n")).toString(36));
  if (existsSync(stamp) && existsSync(bin)) return bin;
  const python = systemPython();
  if (python === undefined) {
    throw new WrinkleFreeError("unavailable", "no Python 3.11 or later with venv is on the PATH", {
      hint: "install python3 and its venv module",
    });
  }
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true });
  run([python, "-m", "venv", folder]);
  const list = join(folder, "requirements.txt");
  writeFileSync(list, lines);
  const quiet = ["--quiet", "--disable-pip-version-check", "--no-input"];
  run([bin, "-m", "pip", "install", ...quiet, "-r", list]);
  writeFileSync(stamp, lines);
  return bin;
}

function run(command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode === 0) return;
  const last = stderr.toString().trim().split("\n").at(-1);
  throw new WrinkleFreeError("unavailable", `${command.slice(0, 4).join(" ")} failed: ${last}`, {
    hint: "the packages come from PyPI: is it reachable from here?",
  });
}
