// Builds the kernels twice, in folders and with caches of different names: node scripts/reproducible.mjs
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root, run, zig } from "./setup.mjs";

const libraries = process.platform === "win32" ? "bin" : "lib";

/** SHA-256 of every library that a build in a new folder makes, by its name. */
function build(prefix) {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  try {
    for (const name of ["build.zig", "kernels-zig"]) {
      cpSync(join(root, name), join(folder, name), { recursive: true });
    }
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "junction");
    const cache = join(folder, "cache");
    const env = { ...process.env, ZIG_LOCAL_CACHE_DIR: cache, ZIG_GLOBAL_CACHE_DIR: cache };
    run(zig(), ["build", ...process.argv.slice(2)], { cwd: folder, env });
    const built = join(folder, "zig-out", libraries);
    return readdirSync(built)
      .filter((name) => /\.(so|dylib|dll)$/.test(name))
      .sort()
      .map((name) => {
        const sum = createHash("sha256").update(readFileSync(join(built, name)));
        return `${sum.digest("hex")}  ${name}`;
      });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const first = build("wf-first-");
const second = build("wf-a-second-one-");
for (const line of first) console.log(line);
if (first.length === 0 || first.join() !== second.join()) {
  console.error(`the second build differs:\n${second.join("\n")}`);
  process.exitCode = 1;
} else console.log("both builds are equal, byte for byte");
