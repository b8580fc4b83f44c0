// Installs the peers that come as packages, each into a folder of its own in the temporary folder.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Peer, ProcessPeer } from "./peer.ts";

const versions = { nodeLlamaCpp: "3.22.1", litespark: "1.0.3" } as const;
const here = import.meta.dir;

/** node-llama-cpp (llama.cpp's prebuilt library for this platform) on a GGUF file. */
export function startNodeLlamaCpp(
  model: string,
  threads: number,
  contextLength: number,
): Promise<Peer> {
  const { folder, version } = nodeLlamaCpp();
  const args = [folder, model, String(threads), String(contextLength)];
  return ProcessPeer.start(`node-llama-cpp ${version}`, "node", [
    join(here, "node-llama-cpp.mjs"),
    ...args,
  ]);
}

/** The folder that node-llama-cpp is installed in; installs it first where it is not there. */
export function nodeLlamaCpp(): { readonly folder: string; readonly version: string } {
  const version = versions.nodeLlamaCpp;
  const folder = installed(`node-llama-cpp-${version}`, (target) => {
    writeFileSync(join(target, "package.json"), '{ "private": true }\n');
    const options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", target];
    run("npm", ["install", ...options, `node-llama-cpp@${version}`]);
  });
  return { folder, version };
}

/** litespark-inference's runtime without PyTorch, on random weights of a shape. */
export function startLitespark(shape: object, threads: number): Promise<Peer> {
  const version = versions.litespark;
  const folder = installed(`litespark-${version}`, (target) => {
    run("python3", ["-m", "venv", target]);
    const pip = join(target, "bin", "pip");
    run(pip, ["install", "--quiet", "numpy", "setuptools", "wheel"]);
    // Its other dependencies (PyTorch among them) are for its second runtime.
    run(pip, ["install", "--quiet", "--no-deps", `litespark-inference==${version}`]);
  });
  return ProcessPeer.start(`litespark-inference ${version}`, join(folder, "bin", "python"), [
    join(here, "litespark.py"),
    JSON.stringify(shape),
    String(threads),
  ]);
}

/** The folder of a package; made by `install` where it is not there, removed again if that fails. */
function installed(name: string, install: (folder: string) => void): string {
  const folder = join(tmpdir(), "wrinklefree-bench", name);
  const done = join(folder, ".installed");
  if (existsSync(done)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  console.error(`installing ${name} in ${folder}`);
  install(folder);
  writeFileSync(done, "");
  return folder;
}

function run(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, [...args], { stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error ?? `status ${status}`}`);
}
