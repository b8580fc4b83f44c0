// Sets the project up on a machine with only Node: packages (by bun.lock) and native kernels.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { findBun } from "../bin/bun.mjs";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const windows = process.platform === "win32";
const modules = join(root, "node_modules");
const packagesStamp = join(modules, ".wrinklefree-packages");
const kernelsStamp = join(root, "zig-out", ".wrinklefree-kernels");
const libraries = join(root, "zig-out", windows ? "bin" : "lib");

/** A set-up step failed; the message is meant for the user. */
export class SetupError extends Error {}

function manifest() {
  return JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
}

/** Path of the project's Bun. Throws SetupError before set-up. */
export function bun() {
  const path = findBun(modules);
  if (path === undefined) throw new SetupError("Bun is not installed here; run: npm run setup");
  return path;
}

/** Path of the Zig compiler that the packages bring along. Throws SetupError without one. */
export function zig() {
  const name = `@zigc/${process.platform}-${process.arch}`;
  try {
    const require = createRequire(join(root, "package.json"));
    return require.resolve(`${name}/bin/zig${windows ? ".exe" : ""}`);
  } catch {
    throw new SetupError(`there is no Zig compiler for this machine (package ${name})`);
  }
}

/** Environment in which Zig keeps its caches inside the project. */
export function zigEnvironment() {
  const cache = join(root, ".zig-cache");
  return {
    ...process.env,
    ZIG_LOCAL_CACHE_DIR: cache,
    ZIG_GLOBAL_CACHE_DIR: join(cache, "global"),
  };
}

/** Runs a program to its end, its output on standard error. Throws SetupError. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2], ...options });
  if (result.error) throw new SetupError(`${command} cannot be started: ${result.error.message}`);
  if (result.status === 0) return;
  const end = result.signal ? `was ended by ${result.signal}` : `ended with code ${result.status}`;
  throw new SetupError(`${[command, ...args].join(" ")} ${end}; its output is above`);
}

function hash(files) {
  const sum = createHash("sha256").update(`${process.platform}-${process.arch}`);
  for (const file of files) sum.update(`\n${relative(root, file)}\n`).update(readFileSync(file));
  return sum.digest("hex");
}

function below(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? below(path) : [path];
    });
}

const packagesHash = () => hash([join(root, "package.json"), join(root, "bun.lock")]);
const kernelsHash = () =>
  hash([join(root, "bun.lock"), join(root, "build.zig"), ...below(join(root, "kernels-zig"))]);
const read = (path) => (existsSync(path) ? readFileSync(path, "utf8") : "");
const haveKernels = () => existsSync(libraries) && readdirSync(libraries).length > 0;

/** What is there: packages and kernels, each "ready", "stale" or "missing". */
export function state() {
  const kernels = !haveKernels() ? "missing" : read(kernelsStamp) === kernelsHash();
  const packages =
    findBun(modules) === undefined ? "missing" : read(packagesStamp) === packagesHash();
  const word = (value) => (value === true ? "ready" : value === false ? "stale" : value);
  return { packages: word(packages), kernels: word(kernels) };
}

function say(text) {
  process.stderr.write(`setup: ${text}\n`);
}

function installPackages() {
  const version = manifest().dependencies.bun;
  let path = findBun(modules);
  const temporary = join(root, ".cache", "bun");
  if (path === undefined || spawnSync(path, ["--version"]).stdout?.toString().trim() !== version) {
    say(`fetching Bun ${version} with npm`);
    mkdirSync(join(temporary, "node_modules"), { recursive: true });
    const flags = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    const args = ["install", "--prefix", temporary, ...flags, `bun@${version}`];
    // npm is a script on Windows, which only a shell can start.
    run("npm", args, { shell: windows });
    path = findBun(join(temporary, "node_modules"));
    if (path === undefined) {
      throw new SetupError(`Bun has no build for ${process.platform}-${process.arch}`);
    }
  }
  say("installing packages as bun.lock says");
  run(path, ["install", "--frozen-lockfile"]);
  rmSync(temporary, { recursive: true, force: true });
  writeFileSync(packagesStamp, packagesHash());
}

function buildKernels() {
  say("building the kernels (zig build)");
  const before = kernelsHash();
  run(zig(), ["build"], { env: zigEnvironment() });
  writeFileSync(kernelsStamp, before);
}

/** Does what is missing or stale. Throws SetupError. */
export function setup() {
  const started = Date.now();
  const { packages, kernels } = state();
  if (packages === "ready" && kernels === "ready") return false;
  if (packages !== "ready") installPackages();
  if (kernels !== "ready") buildKernels();
  say(`done in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  return true;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    if (!setup()) say("nothing to do");
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`failed: ${error.message}`);
    process.exitCode = 1;
  }
}
