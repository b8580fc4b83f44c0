// Discovery: plugins are resolved from the user's folder, by flag and by wrinklefree.config.ts.
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig, loadPlugin, loadRegistry, resolvePlugins } from "../../core/index.ts";

const root = mkdtempSync(join(tmpdir(), "wf-discover-"));
afterAll(() => rmSync(root, { recursive: true }));

/** A folder with node_modules/pkg-NAME plugins and, if given, a configuration. */
function folder(name: string, packages: Record<string, string>, config?: string): string {
  const path = join(root, name);
  mkdirSync(path);
  for (const [pkg, source] of Object.entries(packages)) {
    mkdirSync(join(path, "node_modules", pkg), { recursive: true });
    const manifest = { name: pkg, type: "module", exports: "./index.ts" };
    writeFileSync(join(path, "node_modules", pkg, "package.json"), JSON.stringify(manifest));
    writeFileSync(join(path, "node_modules", pkg, "index.ts"), source);
  }
  if (config !== undefined) writeFileSync(join(path, "wrinklefree.config.ts"), config);
  return path;
}

const plugin = (name: string) => `export default { name: "${name}", api: 1 };`;

test("the configuration's plugins come before the flags', each once", async () => {
  const path = folder(
    "both",
    { one: plugin("one"), two: plugin("two") },
    'export default { plugins: ["two"] satisfies string[] };',
  );
  writeFileSync(join(path, "local.ts"), plugin("local"));
  const files = await resolvePlugins(["one", "./local.ts", "two"], path);
  expect(files).toEqual([
    join(path, "node_modules/two/index.ts"),
    join(path, "node_modules/one/index.ts"),
    join(path, "local.ts"),
  ]);
  const registry = await loadRegistry([{ name: "own", api: 1 }], files);
  expect(registry.plugins.map((p) => p.name)).toEqual(["own", "two", "one", "local"]);
});

test("without flags and configuration there are none", async () => {
  expect(await resolvePlugins([], folder("empty", {}))).toEqual([]);
});

test("a plugin that is not installed is named with what to do", async () => {
  const path = folder("missing", {});
  const failure = resolvePlugins(["wrinklefree-nowhere"], path);
  await expect(failure).rejects.toMatchObject({
    code: "not_found",
    message: `there is no plugin "wrinklefree-nowhere" in ${path}`,
    hint: "install it there (npm install wrinklefree-nowhere), or give a path that starts with ./",
  });
});

test("a module that is no plugin, or throws, is one clear error", async () => {
  const path = folder("bad", { none: "export const x = 1;", throws: 'throw new Error("boom");' });
  const [none, throws] = await resolvePlugins(["none", "throws"], path);
  await expect(loadPlugin(none!)).rejects.toMatchObject({ code: "plugin" });
  const boom = await loadPlugin(throws!).catch((error: Error) => error.message);
  expect(boom).toBe(`plugin ${throws} cannot be loaded: boom`);
});

test("a configuration of the wrong shape is refused with its path", async () => {
  const path = folder("shape", {}, "export default { plugins: [1] };");
  await expect(loadConfig(path)).rejects.toMatchObject({
    code: "plugin",
    details: { file: join(path, "wrinklefree.config.ts"), field: "plugins" },
  });
});
