// Makes one executable of the whole project: Bun, the code, the page, kernels and data files.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Registry, WrinkleFreeError } from "../../core/index.ts";
import { filesVariable, installed } from "../../core/installation.ts";

/** Modules that Workers and child processes start with. */
const entries = ["apps/worker.ts", "apps/isolated.ts", "apps/convert/worker.ts"];
const data = ["apps/eval/requirements.txt", "apps/eval/tasks"];

/** Writes the executable to `output`, which must not be there. Throws `internal` with Bun's reasons. */
export async function buildExecutable(registry: Registry, output: string): Promise<void> {
  // Below the project's root, so that packages are found from here.
  const root = installed(".");
  mkdirSync(join(root, ".cache"), { recursive: true });
  const work = mkdtempSync(join(root, ".cache", "executable-"));
  try {
    const main = join(work, "main.ts");
    writeFileSync(main, mainSource(root, packedFiles(registry)));
    const others = entries.map((path) => {
      const file = join(work, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, `${first}await import(${JSON.stringify(join(root, path))});\n`);
      return file;
    });
    await compile([main, ...others], work, output);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Bundled modules run in another order: what changes globals has to be first. */
const first = `import "reflect-metadata";\n`;

async function compile(entrypoints: string[], root: string, output: string): Promise<void> {
  const built = await Bun.build({
    entrypoints,
    root,
    minify: { whitespace: true, syntax: true },
    compile: {
      outfile: resolve(output),
      // A folder that it is started in must not change what it does.
      autoloadDotenv: false,
      autoloadBunfig: false,
    },
    throw: false,
  });
  if (built.success) return;
  throw new WrinkleFreeError("internal", `cannot build: ${built.logs.map(String).join("; ")}`);
}

/** Files to embed, by their path from the project's root. */
function packedFiles(registry: Registry): Map<string, string> {
  const files = new Map<string, string>();
  for (const { library } of registry.kernels) {
    const path = library instanceof URL ? fileURLToPath(library) : library;
    const folder = process.platform === "win32" ? "bin" : "lib";
    if (existsSync(path)) files.set(`zig-out/${folder}/${basename(path)}`, path);
  }
  for (const place of data) {
    const below = place.includes(".") ? [""] : readdirSync(installed(place), { recursive: true });
    for (const name of below as string[]) {
      const path = join(place, name);
      if (/\.\w+$/.test(name || place) && !path.includes("__pycache__")) {
        files.set(path, installed(path));
      }
    }
  }
  return files;
}

/** Unpacks, then runs the command line; a child process names the module that it is for. */
function mainSource(root: string, files: ReadonlyMap<string, string>): string {
  const text = (value: string): string => JSON.stringify(value);
  const named = [...files].map(([path, file], i) => ({ path, file, name: `file${i}` }));
  const own = (path: string): string => text(join(root, path));
  return [
    `${first}import { unpack } from ${own("apps/bundle/unpack.ts")};`,
    ...named.map(({ name, file }) => `import ${name} from ${text(file)} with { type: "file" };`),
    `const files = [${named.map(({ path, name }) => `[${text(path)}, ${name}]`).join(", ")}];`,
    `process.env.${filesVariable} = unpack(files);`,
    `if (process.argv[2]?.endsWith("/apps/isolated.js")) {`,
    `  await import(${own("apps/isolated.ts")});`,
    "} else {",
    `  const { runCommand } = await import(${own("apps/cli/program.ts")});`,
    "  await runCommand();",
    "}",
    "",
  ].join("\n");
}
