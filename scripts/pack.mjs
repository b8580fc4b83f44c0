// Packs the npm packages: wrinklefree, and one package of prebuilt kernels for each platform.
// node scripts/pack.mjs [--out FOLDER] [--all | --platform NAME ...]
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { bun, root, run, SetupError, setup, zig, zigEnvironment } from "./setup.mjs";

/** npm's names of the platforms, and Zig's. */
const targets = {
  "linux-x64": "x86_64-linux-gnu",
  "linux-arm64": "aarch64-linux-gnu",
  "darwin-arm64": "aarch64-macos",
  "darwin-x64": "x86_64-macos",
  "win32-x64": "x86_64-windows-gnu",
};
const here = `${process.platform}-${process.arch}`;

const shipped = [
  "core",
  "plugins",
  "apps",
  "bin",
  "docs",
  "examples",
  "kernels-zig",
  "README.md",
  "CHANGELOG.md",
  "LICENSE",
  "SECURITY.md",
  "THIRD_PARTY.md",
  "sbom.cdx.json",
];

const kernelsName = (platform) => `@wrinklefree/kernels-${platform}`;

/** A package's manifest with what both kinds share. */
function common(manifest) {
  const { version, license, engines } = manifest;
  return { version, license, engines, type: "module" };
}

function writePackage(folder, manifest) {
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/** Stages the prebuilt kernels of a platform; builds them where it is not this one. */
function stageKernels(manifest, platform, folder) {
  const [os, cpu] = platform.split("-");
  mkdirSync(folder, { recursive: true });
  let built = join(root, "zig-out");
  if (platform !== here) {
    built = join(folder, "..", `build-${platform}`);
    const args = ["build", `-Dtarget=${targets[platform]}`, "--prefix", built];
    run(zig(), args, { env: zigEnvironment() });
  }
  cpSync(join(built, os === "win32" ? "bin" : "lib"), join(folder, "lib"), {
    recursive: true,
    filter: (path) => !/\.(pdb|lib)$/.test(path),
  });
  writePackage(folder, {
    name: kernelsName(platform),
    description: `Prebuilt kernels of wrinklefree for ${platform}`,
    ...common(manifest),
    os: [os],
    cpu: [cpu],
    ...(os === "linux" ? { libc: ["glibc"] } : {}),
    exports: { "./lib/*": "./lib/*" },
    files: ["lib"],
  });
  cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
}

function stageMain(manifest, folder) {
  for (const path of shipped.filter((path) => existsSync(join(root, path)))) {
    cpSync(join(root, path), join(folder, path), {
      recursive: true,
      filter: (source) => !/(node_modules|\.zig-cache|zig-out|__pycache__)$/.test(source),
    });
  }
  run(bun(), ["apps/web/build.ts", join(folder, "apps", "web", "dist")]);
  run(bun(), ["apps/client/build.ts", join(folder, "apps", "client", "dist")]);
  const { name, description, license, engines, bin, dependencies } = manifest;
  // The client also runs in Node and in browsers, which want JavaScript.
  const client = { types: "./apps/client/dist/index.d.ts", default: "./apps/client/dist/index.js" };
  const exports = { ...manifest.exports, "./client": client };
  const platforms = Object.keys(targets).map((p) => [kernelsName(p), manifest.version]);
  writePackage(folder, {
    name,
    version: manifest.version,
    description,
    license,
    type: "module",
    engines,
    keywords: ["llm", "bitnet", "ternary", "inference", "cpu", "gguf", "openai"],
    bin,
    exports,
    files: shipped,
    dependencies,
    optionalDependencies: Object.fromEntries(platforms),
  });
}

/** Packs a staged folder; returns the tarball's path. */
function pack(folder, out) {
  const { name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  run(bun(), ["pm", "pack", "--destination", out, "--quiet"], { cwd: folder });
  return join(out, `${name.replace("@", "").replace("/", "-")}-${version}.tgz`);
}

function main() {
  const { values } = parseArgs({
    options: {
      out: { type: "string", default: join("dist", "npm") },
      platform: { type: "string", multiple: true },
      all: { type: "boolean", default: false },
    },
  });
  const platforms = values.all ? Object.keys(targets) : (values.platform ?? [here]);
  const unknown = platforms.find((platform) => !(platform in targets));
  if (unknown !== undefined) {
    throw new SetupError(`no platform "${unknown}"; known: ${Object.keys(targets).join(", ")}`);
  }
  setup();
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const out = resolve(values.out);
  const stage = join(out, "stage");
  rmSync(stage, { recursive: true, force: true });
  const tarballs = platforms.map((platform) => {
    const folder = join(stage, `kernels-${platform}`);
    stageKernels(manifest, platform, folder);
    return pack(folder, out);
  });
  const folder = join(stage, "wrinklefree");
  mkdirSync(folder, { recursive: true });
  stageMain(manifest, folder);
  tarballs.push(pack(folder, out));
  rmSync(stage, { recursive: true, force: true });
  for (const path of tarballs) console.log(path);
}

try {
  main();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`pack: ${error.message}`);
  process.exitCode = 1;
}
