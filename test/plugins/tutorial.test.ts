// The tutorial of docs/PLUGINS.md: its files, tested, packed, installed in an empty folder, used.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root, run, Stranger } from "../support/stranger.ts";

const stranger = new Stranger();
const folder = realpathSync(mkdtempSync(join(tmpdir(), "wf-tutorial-")));
const name = "wrinklefree-crumb";
const checkpoint = join(root, "test/fixtures/tern/hf-packed");

beforeAll(async () => {
  const page = readFileSync(join(root, "docs/PLUGINS.md"), "utf8");
  const files = [...page.matchAll(/```\w+ (\S+)\n(.*?)```/gs)];
  expect(files.map(([, file]) => file)).toEqual(["index.ts", "index.test.ts", "package.json"]);
  for (const [, file, text] of files) writeFileSync(join(folder, file!), text!);
  await stranger.install([folder]);
}, 120_000);
afterAll(() => {
  stranger[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});

test("its own test passes", async () => {
  const command = [process.execPath, "test", `./node_modules/${name}/index.test.ts`];
  const { code, error } = await run(command, stranger.folder);
  expect(error).toContain(" 1 pass");
  expect(code).toBe(0);
});

test("it converts, and the model is the same bits as in i2_s", async () => {
  for (const [format, ...flags] of [["crumb", "--plugin", name], ["i2_s"]] as const) {
    const args = [checkpoint, "-q", format, "-o", `${format}.gguf`, ...flags];
    const { code, error } = await stranger.wrinklefree("convert", ...args);
    expect({ code, error: code === 0 ? "" : error }).toEqual({ code: 0, error: "" });
  }
  const args = ["crumb.gguf", "--diff", "i2_s.gguf", "--plugin", name];
  const { out, code } = await stranger.wrinklefree("inspect", ...args);
  expect(out).toContain("46 of 46 tensors hold equal values\nlogits of 32 tokens: identical bits");
  expect(code).toBe(0);
}, 60_000);
