// Builds kernel.zig for each instruction set of this machine, or of every platform with --all.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
/** What wrinklefree gives to kernel libraries: the contract and the helpers of its own ops. */
const sdk = require.resolve("wrinklefree/kernels-zig/sdk.zig");

const avx512 = "x86_64_v4+avx512vnni";
const targets = {
  "linux-x64": ["x86_64-linux-gnu.2.17", { generic: "x86_64", avx512 }],
  "linux-arm64": ["aarch64-linux-gnu.2.17", { generic: "generic" }],
  "darwin-arm64": ["aarch64-macos", { generic: "generic" }],
  "darwin-x64": ["x86_64-macos", { generic: "x86_64", avx512 }],
  "win32-x64": ["x86_64-windows-gnu", { generic: "x86_64", avx512 }],
};
const names = process.argv.includes("--all")
  ? Object.keys(targets)
  : [`${process.platform}-${process.arch}`];

const zig = process.env.ZIG ?? "zig";
for (const name of names) {
  const [triple, cpus] = targets[name];
  for (const [isa, cpu] of Object.entries(cpus)) {
    const out = join(here, "lib", name, `sherry-${isa}`);
    const modules = ["--dep", "wrinklefree", `-Mroot=${join(here, "kernel.zig")}`];
    const flags = ["-dynamic", "-OReleaseFast", "-fstrip", "-lc", `-femit-bin=${out}`];
    const args = ["build-lib", "-target", triple, `-mcpu=${cpu}`, ...flags, ...modules];
    mkdirSync(dirname(out), { recursive: true });
    const { status } = spawnSync(zig, [...args, `-Mwrinklefree=${sdk}`], { stdio: "inherit" });
    if (status !== 0) process.exit(1);
  }
}
