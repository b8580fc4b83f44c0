// Lists every package of bun.lock with its licence: THIRD_PARTY.md and sbom.cdx.json (CycloneDX).
// node scripts/supply.mjs [--check]: with --check nothing is written, and what is out of date fails.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root, SetupError } from "./setup.mjs";

/** Licences that may be shipped; and those of tools that only build and test. */
const shippable = ["MIT", "ISC", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "0BSD"];
const forTools = [...shippable, "Unlicense", "MPL-2.0", "BlueOak-1.0.0", "Python-2.0", "CC0-1.0"];

const read = (path) => readFileSync(join(root, path), "utf8");

/** bun.lock is JSON with commas before closing brackets. */
function readLock() {
  return JSON.parse(read("bun.lock").replace(/,(\s*[}\]])/g, "$1"));
}

/** "a/@b/c" of the lockfile: package a's own @b/c. */
const names = (key) => key.match(/@[^/]+\/[^/]+|[^/]+/g);
const folderOf = (key) =>
  names(key)
    .map((name) => join("node_modules", name))
    .join("/");

/** The lockfile's key of what `name` means inside the package at `key`. */
function resolve(packages, key, name) {
  const path = key === "" ? [] : names(key);
  for (let depth = path.length; depth >= 0; depth--) {
    const candidate = [...path.slice(0, depth), name].join("/");
    if (candidate in packages) return candidate;
  }
  return undefined;
}

/** Keys of what `start` needs, itself included; optional parts too. */
function closure(packages, start) {
  const found = new Map();
  const visit = (key, parent) => {
    if (key === undefined || found.has(key)) return;
    found.set(key, parent);
    const { dependencies, optionalDependencies, cpu } = packages[key][2] ?? {};
    // What a build for one platform needs is installed on that platform only.
    if (parent !== "" && cpu !== undefined) return;
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      visit(resolve(packages, key, name), key);
    }
  };
  for (const name of start) visit(resolve(packages, "", name), "");
  return found;
}

/** A package's SPDX expression; the build for one platform has the licence of what asks for it. */
function licenceOf(packages, key, parent) {
  const { os, cpu } = packages[key][2] ?? {};
  if (parent !== "" && (os !== undefined || cpu !== undefined))
    return licenceOf(packages, parent, "");
  const manifest = JSON.parse(read(join(folderOf(key), "package.json")));
  return typeof manifest.license === "string" ? manifest.license : manifest.license?.type;
}

/** "MIT OR Apache-2.0" needs one that is allowed, "MIT AND ISC" both. */
function allowed(licence, list) {
  const parts = String(licence).replace(/[()]/g, "").split(" AND ");
  return parts.every((part) => part.split(" OR ").some((one) => list.includes(one.trim())));
}

function collect() {
  const { packages } = readLock();
  const { dependencies, devDependencies } = JSON.parse(read("package.json"));
  const shipped = closure(packages, Object.keys(dependencies));
  const everything = closure(packages, Object.keys({ ...dependencies, ...devDependencies }));
  const list = [...everything].map(([key, above]) => {
    const [id, , , integrity] = packages[key];
    const at = id.lastIndexOf("@");
    const ships = shipped.has(key);
    const licence = licenceOf(packages, key, ships ? shipped.get(key) : above);
    const entry = { name: id.slice(0, at), version: id.slice(at + 1), licence, ships, integrity };
    if (allowed(licence, ships ? shippable : forTools)) return entry;
    throw new SetupError(`${id} has the licence ${licence}, which is not on the list here`);
  });
  const order = (a, b) => (a.name + a.version < b.name + b.version ? -1 : 1);
  const unique = new Map(list.sort(order).map((entry) => [entry.name + entry.version, entry]));
  return [...unique.values()];
}

function markdown(list) {
  const table = (entries) =>
    ["| Package | Version | Licence |", "|---|---|---|"]
      .concat(entries.map((e) => `| ${e.name} | ${e.version} | ${e.licence} |`))
      .join("\n");
  return `# Third-party software

Written by \`node scripts/supply.mjs\` from bun.lock; a test checks that it is current. The same
list with hashes is [sbom.cdx.json](sbom.cdx.json) (CycloneDX).

## Needed to run

An executable of \`wrinklefree bundle\` contains these packages and the Bun runtime, which links
JavaScriptCore (LGPL-2.1) and other libraries: https://bun.sh/docs/project/licensing lists them.

${table(list.filter((entry) => entry.ships))}

## Needed to build and test

${table(list.filter((entry) => !entry.ships))}
`;
}

function component({ name, version, licence, ships, integrity }) {
  const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  const hash = Buffer.from(String(integrity).replace("sha512-", ""), "base64").toString("hex");
  const single = /^[\w.-]+$/.test(licence);
  return {
    type: "library",
    "bom-ref": purl,
    name,
    version,
    scope: ships ? "required" : "excluded",
    hashes: [{ alg: "SHA-512", content: hash }],
    licenses: single ? [{ license: { id: licence } }] : [{ expression: licence }],
    purl,
  };
}

function sbom(list) {
  const { name, version, license } = JSON.parse(read("package.json"));
  const own = { type: "application", "bom-ref": name, name, version };
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: { ...own, licenses: [{ license: { id: license } }] } },
    components: list.map(component),
  };
}

function main() {
  const list = collect();
  const files = {
    "THIRD_PARTY.md": markdown(list),
    "sbom.cdx.json": `${JSON.stringify(sbom(list), undefined, 2)}\n`,
  };
  for (const [path, text] of Object.entries(files)) {
    if (!process.argv.includes("--check")) writeFileSync(join(root, path), text);
    else if (read(path) !== text) {
      throw new SetupError(`${path} is out of date; run: node scripts/supply.mjs`);
    }
  }
  const ships = list.filter((entry) => entry.ships).length;
  console.log(`${list.length} packages, ${ships} of them needed to run; every licence is known`);
}

try {
  main();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`supply: ${error.message}`);
  process.exitCode = 1;
}
