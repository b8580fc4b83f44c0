// The Python clients against the same cases, their old names, types, and the managed server process.
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { modelPath, testServer } from "../server/support.ts";
import { pythonWith } from "../support/python.ts";
import { must, root, run } from "../support/stranger.ts";
import type { Outcome } from "./run-cases.ts";
import { behaviourSuite, nowhere } from "./suite.ts";

const packages = [
  "httpx==0.28.1",
  "trio==0.35.0",
  "mypy==2.4.1",
  "build==1.6.1",
  "hatchling==1.33.0",
];
const python = pythonWith("client", packages);
const source = join(root, "apps/client/python");
const env = {
  PYTHONPATH: join(source, "src"),
  PYTHONDONTWRITEBYTECODE: "1",
  WRINKLEFREE_COMMAND: `${process.execPath} ${join(root, "apps/cli/main.ts")}`,
};

if (python !== undefined) {
  const script = (...args: string[]) => must([python, ...args], root, env);

  for (const [name, kind] of [
    ["Python client", "sync"],
    ["Python client on asyncio", "asyncio"],
    ["Python client on trio", "trio"],
  ] as const) {
    behaviourSuite(name, async (proxy) => {
      const runner = "test/client/run_cases.py";
      return JSON.parse(
        await script(runner, kind, "test/client/cases.json", proxy, nowhere),
      ) as Outcome[];
    });
  }

  test("code for the old clients runs with a changed import", async () => {
    const server = await testServer();
    const out = await script("test/client/legacy.py", server.url);
    await server.stop();
    expect(out).toBe("ok\n");
  });

  test("types are complete (mypy --strict)", async () => {
    const result = await run(
      [python, "-m", "mypy", "--strict", "--cache-dir", join(root, ".cache/mypy"), "src"],
      source,
      { NO_COLOR: "1" },
    );
    expect(result.out).toMatch(/^Success: no issues found/);
  });

  test("builds the wheel that PyPI takes, with its types", async () => {
    const out = mkdtempSync(join(tmpdir(), "wf-wheel-"));
    await must(
      [python, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source],
      root,
      env,
    );
    const [wheel = ""] = readdirSync(out);
    const { version } = await Bun.file(join(root, "package.json")).json();
    expect(wheel).toBe(`wrinklefree-${version}-py3-none-any.whl`);
    const list = await script("-m", "zipfile", "-l", join(out, wheel));
    expect(list).toContain("wrinklefree/py.typed");
    expect(list).toContain("wrinklefree/_client.py");
    rmSync(out, { recursive: true });
  });

  /** Whether a process with this id is there. */
  const alive = (pid: number): boolean => {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  };

  async function gone(pid: number): Promise<boolean> {
    for (let i = 0; i < 1000 && alive(pid); i++) await Bun.sleep(10);
    return !alive(pid);
  }

  test("InferenceServer starts, answers, drains its output, and stops", async () => {
    const out = await script("test/client/managed.py", "whole", modelPath);
    const [pid, ...rest] = out.trim().split("\n");
    expect(rest).toEqual([", there was", "stopped"]);
    expect(await gone(Number(pid))).toBe(true);
  });

  test("InferenceServer says why a server does not start", async () => {
    const out = await script("test/client/managed.py", "broken", "/nowhere/model.gguf");
    expect(out).toContain("the server ended with 1");
    expect(out).toContain("there is no model file or folder /nowhere/model.gguf");
  });

  test("no server is left when its script is killed", async () => {
    const child = Bun.spawn([python, "test/client/managed.py", "hang", modelPath], {
      cwd: root,
      env: { ...process.env, ...env },
      stdout: "pipe",
    });
    const reader = child.stdout.getReader();
    const pid = Number(new TextDecoder().decode((await reader.read()).value));
    expect(alive(pid)).toBe(true);
    child.kill("SIGKILL");
    await child.exited;
    expect(await gone(pid)).toBe(true);
  });
}
