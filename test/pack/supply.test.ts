// What we depend on: the lists of packages and licences are current, and nothing of ours runs at install.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { root, run, Stranger } from "../support/stranger.ts";

const sbom = JSON.parse(readFileSync(join(root, "sbom.cdx.json"), "utf8"));

test("THIRD_PARTY.md and the SBOM are what bun.lock says; every licence is on the list", async () => {
  const { code, error } = await run(["node", "scripts/supply.mjs", "--check"], root);
  expect({ code, error }).toEqual({ code: 0, error: "" });
});

test("the SBOM names every direct dependency with its version, hash and licence", () => {
  expect(sbom).toMatchObject({ bomFormat: "CycloneDX", specVersion: "1.6" });
  const all = new Map(sbom.components.map((part: { purl: string }) => [part.purl, part]));
  expect(all.size).toBe(sbom.components.length);
  const direct = [
    ...Object.entries(manifest.dependencies).map((entry) => [...entry, "required"]),
    ...Object.entries(manifest.devDependencies).map((entry) => [...entry, "excluded"]),
  ];
  for (const [name = "", version, scope] of direct) {
    const part = all.get(`pkg:npm/${name.replace("@", "%40")}@${version}`);
    expect(part).toMatchObject({ name, version, scope });
    const { hashes } = part as { hashes: { alg: string; content: string }[] };
    expect(hashes[0]?.content).toMatch(/^[0-9a-f]{128}$/);
  }
});

test("npm runs no script of ours when the package is installed", () => {
  const atInstall = ["preinstall", "install", "postinstall", "prepare"];
  expect(Object.keys(manifest.scripts).filter((name) => atInstall.includes(name))).toEqual([]);
});

test("a plugin that is loaded is named as the code that it is", async () => {
  using stranger = new Stranger();
  const plugin = join(stranger.folder, "plugin.ts");
  await Bun.write(plugin, `export default { name: "mine" };`);
  const command = ["apps/cli/main.ts", "serve", "--plugin", plugin, "-m", "/nowhere/model.gguf"];
  const { error } = await run([process.execPath, ...command], root);
  expect(error).toContain(`note: plugin ${plugin} is code: it has all rights of this process\n`);
});
