// The example plugin of docs/PLUGINS.md: built, packed, installed in an empty folder, used.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { zig, zigEnvironment } from "../../scripts/setup.mjs";
import { sparseCheckpoint } from "../support/sparse.ts";
import { copyPlugin, root, run, Stranger } from "../support/stranger.ts";

const stranger = new Stranger();
const name = "wrinklefree-sherry";
const source = join(root, "test/fixtures/tern/hf-packed");
const sparse = join(stranger.folder, "sparse");

beforeAll(async () => {
  const folder = copyPlugin("examples/quantizer-plugin");
  // The author's own node_modules, as `bun install` would make it.
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/wrinklefree"));
  // Its prepack builds the libraries.
  await stranger.install([folder], { ...zigEnvironment(), ZIG: zig() });
  sparseCheckpoint(source, sparse);
}, 300_000);
afterAll(() => stranger[Symbol.dispose]());

test("passes its own tests", async () => {
  const command = [process.execPath, "test", `./node_modules/${name}/index.test.ts`];
  const { code, error } = await run(command, stranger.folder);
  expect(error).toContain(" 0 fail");
  expect(code).toBe(0);
});

test("refuses a model that is not sparse, and leaves nothing behind", async () => {
  const flags = ["-q", "sherry", "-o", "dense.gguf", "--plugin", name];
  const { code, error } = await stranger.wrinklefree("convert", source, ...flags);
  expect(error).toMatch(/do not hold exactly one zero/);
  expect(code).toBe(1);
  expect(statSync(join(stranger.folder, "dense.gguf"), { throwIfNoEntry: false })).toBeUndefined();
});

test("converts, serves with the bits of i2_s, and takes 1.25 bits a weight", async () => {
  for (const format of ["sherry", "i2_s"]) {
    const flags = ["-q", format, "-o", `${format}.gguf`, "--plugin", name];
    const { code, error } = await stranger.wrinklefree("convert", sparse, ...flags);
    expect({ code, error: code === 0 ? "" : error }).toEqual({ code: 0, error: "" });
  }
  const flags = ["-m", "sherry.gguf", "-m", "i2_s.gguf", "--plugin", name];
  await using server = await stranger.serve(...flags);
  const answers = [];
  for (const model of ["sherry", "i2_s"]) {
    const body = { model, prompt: "Once upon a time", max_tokens: 40, temperature: 0, n_probs: 3 };
    const response = await fetch(`${server.url}/completion`, {
      method: "POST",
      body: JSON.stringify(body),
    });
    const { content, completion_probabilities } = (await response.json()) as Record<
      string,
      unknown
    >;
    answers.push({ content, completion_probabilities });
  }
  expect(String(answers[0]!.content).length).toBeGreaterThan(20);
  expect(answers[0]).toEqual(answers[1]!);
});
