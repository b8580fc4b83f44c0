// The packed packages as npm installs them: empty folder, empty HOME, neither Zig nor Bun on PATH.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { must, ownPackages, root, run } from "../support/stranger.ts";

const home = mkdtempSync(join(tmpdir(), "wf-npm-"));
const folder = join(home, "project");
const programs = join(home, "programs");
const environment = {
  HOME: home,
  PATH: programs,
  // What npm downloads (Bun, 90 MB) is kept from run to run.
  npm_config_cache: join(root, ".cache", "npm"),
};
const npm = (...args: string[]) => must(["npm", ...args], folder, environment);

beforeAll(async () => {
  mkdirSync(folder);
  mkdirSync(programs);
  for (const name of ["node", "npm", "npx", "sh"]) {
    symlinkSync(Bun.which(name)!, join(programs, name));
  }
  writeFileSync(join(folder, "package.json"), `{ "name": "empty", "private": true }`);
  const flags = ["--no-audit", "--no-fund", "--prefer-offline"];
  await npm("install", ...flags, ...(await ownPackages()));
});
afterAll(() => rmSync(home, { recursive: true }));

test("there is neither Zig nor Bun to fall back to", async () => {
  for (const name of ["zig", "bun"]) {
    const { code } = await run(["sh", "-c", `command -v ${name}`], folder, environment);
    expect({ name, code }).toEqual({ name, code: 127 });
  }
});

test("npx wrinklefree serve answers", async () => {
  const child = Bun.spawn(["npx", "--no-install", "wrinklefree", "serve", "--port", "0"], {
    cwd: folder,
    env: environment,
    stdout: "pipe",
    stderr: "inherit",
  });
  let url = "";
  let text = "";
  for await (const chunk of child.stdout) {
    text += new TextDecoder().decode(chunk);
    url = /http:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0] ?? "";
    if (text.includes("Ready.")) break;
  }
  const body = { prompt: "Once upon a time", max_tokens: 8, temperature: 0 };
  const answer = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  }).then((response) => response.json() as Promise<{ usage: { completion_tokens: number } }>);
  expect(answer.usage.completion_tokens).toBe(8);
  expect(await fetch(url).then((response) => response.text())).toContain("<html");
  // npx ends by the signal itself; our launcher sees that it is gone and stops the server.
  child.kill("SIGTERM");
  await child.exited;
  const gone = () =>
    fetch(url).then(
      () => false,
      () => true,
    );
  while (!(await gone())) await Bun.sleep(50);
});

test("no package of ours runs a script when it is installed, and publint finds nothing", async () => {
  const kernels = `@wrinklefree/kernels-${process.platform}-${process.arch}`;
  for (const name of ["wrinklefree", kernels]) {
    const pkgDir = join(folder, "node_modules", name);
    const manifest = JSON.parse(readFileSync(join(pkgDir, "package.json"), "utf8"));
    expect({ name, scripts: manifest.scripts }).toEqual({ name, scripts: undefined });
    const { messages } = await publint({ pkgDir, level: "suggestion", pack: false });
    // A plugin to copy is a package of its own once it is copied.
    const found = messages.map((message) => formatMessage(message, manifest) ?? message.code);
    expect(found.filter((text) => !text.startsWith("./examples/"))).toEqual([]);
  }
});
