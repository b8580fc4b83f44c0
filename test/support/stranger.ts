// Installs packed packages into an empty folder, as a stranger would, and runs the command there.
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { zig, zigEnvironment } from "../../scripts/setup.mjs";

export const root = join(import.meta.dir, "../..");

export interface Result {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Runs a program to its end. */
export async function run(
  command: readonly string[],
  cwd: string,
  environment: Environment = {},
): Promise<Result> {
  const env = { ...process.env, NO_COLOR: "1", ...environment };
  const child = Bun.spawn([...command], { cwd, env, stdout: "pipe", stderr: "pipe" });
  const [out, error, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, error };
}

/** Like `run`, but throws with the program's output where it fails. */
export async function must(
  command: readonly string[],
  cwd: string,
  environment: Environment = {},
): Promise<string> {
  const { code, out, error } = await run(command, cwd, environment);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}\n${out}\n${error}`);
  return out;
}

/** A running server. */
export interface Server extends AsyncDisposable {
  readonly url: string;
  /** All that it printed so far. */
  output(): string;
}

let packed: Promise<string[]> | undefined;

/** Tarballs of wrinklefree and of its kernels for this platform, packed once. */
export function ownPackages(): Promise<string[]> {
  packed ??= must(
    ["node", "scripts/pack.mjs", "--out", mkdtempSync(join(tmpdir(), "wf-packed-"))],
    root,
  ).then((out) => out.trim().split("\n"));
  return packed;
}

/** A copy of a plugin's source folder that a test may change. */
export function copyPlugin(folder: string): string {
  const path = join(realpathSync(mkdtempSync(join(tmpdir(), "wf-plugin-"))), basename(folder));
  cpSync(join(root, folder), path, { recursive: true });
  return path;
}

/** Compiles a C or Zig source to a shared library against the project's headers. */
export async function buildLibrary(source: string, library: string): Promise<void> {
  mkdirSync(join(library, ".."), { recursive: true });
  const include = `-I${join(root, "kernels-zig/include")}`;
  const flags = ["-O2", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"];
  const command = [zig(), "cc", ...flags, include, source, "-o", library, "-lm"];
  const { code, error } = await run(command, root, zigEnvironment());
  if (code !== 0) throw new Error(`${source} does not compile:\n${error}`);
}

/** An empty folder with packages installed from their tarballs. */
export class Stranger {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), "wf-stranger-")));

  /** Packs the plugins in `folders` and installs them together with our own packages. */
  async install(folders: readonly string[], environment: Environment = {}): Promise<void> {
    const tarballs = [...(await ownPackages())];
    for (const folder of folders) {
      const out = await must([process.execPath, "pm", "pack", "--quiet"], folder, environment);
      tarballs.push(join(folder, out.trim().split("\n").at(-1)!));
    }
    const entries = await Promise.all(tarballs.map(async (path) => [await nameOf(path), path]));
    const dependencies = Object.fromEntries(entries.map(([name, path]) => [name, `file:${path}`]));
    const manifest = { name: "stranger", private: true, type: "module", dependencies };
    writeFileSync(join(this.folder, "package.json"), JSON.stringify(manifest));
    await must([process.execPath, "install", "--prefer-offline", "--production"], this.folder);
  }

  /** Runs the installed command. */
  wrinklefree(...args: string[]): Promise<Result> {
    return run([process.execPath, this.command, ...args], this.folder);
  }

  /** Starts the installed server on a free port and waits until its models are loaded. */
  async serve(...args: string[]): Promise<Server> {
    const command = [process.execPath, this.command, "serve", "--port", "0", ...args];
    const env = { ...process.env, NO_COLOR: "1" };
    const child = Bun.spawn(command, { cwd: this.folder, env, stdout: "pipe", stderr: "pipe" });
    let text = "";
    const read = async (stream: ReadableStream<Uint8Array>) => {
      for await (const chunk of stream) text += new TextDecoder().decode(chunk);
    };
    void read(child.stdout);
    void read(child.stderr);
    const url = () => /http:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0];
    const health = () =>
      fetch(`${url()}/health`).then(
        ({ ok }) => ok,
        () => false,
      );
    const ready = async () => url() !== undefined && (await health());
    while (!(await ready())) {
      if (child.exitCode !== null)
        throw new Error(`the server ended with ${child.exitCode}\n${text}`);
      await Bun.sleep(20);
    }
    const stop = async () => {
      child.kill("SIGTERM");
      await child.exited;
    };
    return { url: url()!, output: () => text, [Symbol.asyncDispose]: stop };
  }

  get command(): string {
    return join(this.folder, "node_modules/wrinklefree/bin/wrinklefree.mjs");
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}

async function nameOf(tarball: string): Promise<string> {
  const text = await must(["tar", "-xzOf", tarball, "package/package.json"], tmpdir());
  return (JSON.parse(text) as { name: string }).name;
}
