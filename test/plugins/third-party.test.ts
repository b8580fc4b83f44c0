// Third parties' plugins, packed and installed in an empty folder: tested, converted to, served.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildLibrary, copyPlugin, root, run, type Server, Stranger } from "../support/stranger.ts";

const model = join(root, "test/fixtures/tern/hf-packed");

/** Changes a plugin's file in one place that must be there. */
function sabotage(folder: string, file: string, from: string, to: string): void {
  const path = join(folder, file);
  const before = readFileSync(path, "utf8");
  expect(before).toContain(from);
  writeFileSync(path, before.replace(from, to));
}

/** Runs the author's own tests of an installed plugin. */
function ownTests(stranger: Stranger, name: string) {
  const command = [process.execPath, "test", `./node_modules/${name}/index.test.ts`];
  return run(command, stranger.folder);
}

/** Token ids that a served model continues a prompt with, greedily. */
async function continuation(server: Server, name: string): Promise<unknown> {
  const body = { model: name, prompt: "Once upon a time", max_tokens: 40, temperature: 0 };
  const response = await fetch(`${server.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as { choices?: { text: string }[] };
  expect(answer.choices?.[0]?.text.length).toBeGreaterThan(40);
  return answer.choices![0]!.text;
}

describe("a ternary format in TypeScript", () => {
  const stranger = new Stranger();
  const name = "wrinklefree-base3";
  beforeAll(async () => {
    const broken = copyPlugin("test/fixtures/plugin-ternary");
    sabotage(broken, "package.json", name, `${name}-broken`);
    // Of five weights in a byte, the last one is lost.
    sabotage(broken, "index.ts", "/ 3 ** (i % 5)", "/ 3 ** (i % 4)");
    await stranger.install([copyPlugin("test/fixtures/plugin-ternary"), broken]);
  }, 120_000);
  afterAll(() => stranger[Symbol.dispose]());

  test("passes the suite in its author's hands", async () => {
    const { code, error } = await ownTests(stranger, name);
    expect(error).toContain("1 pass");
    expect(code).toBe(0);
  });

  test("a broken copy fails the suite, with the value that differs", async () => {
    const { code, error } = await ownTests(stranger, `${name}-broken`);
    expect(error).toMatch(/format "base3": \[.*\]: value \d+ was .*, decodes to/);
    expect(code).toBe(1);
  });

  test("is unknown until it is named", async () => {
    const { code, error } = await stranger.wrinklefree("convert", model, "-q", "base3");
    expect(error).toContain("-q base3: no such format");
    expect(code).toBe(2);
  });

  test("converts and serves by name, with the bits of i2_s", async () => {
    for (const format of ["base3", "i2_s"]) {
      const flags = ["-q", format, "-o", `tern-${format}.gguf`, "--plugin", name];
      const { code, error } = await stranger.wrinklefree("convert", model, ...flags);
      expect({ format, code, error: code === 0 ? "" : error }).toEqual({
        format,
        code: 0,
        error: "",
      });
    }
    const flags = ["-m", "tern-base3.gguf", "-m", "tern-i2_s.gguf", "--plugin", name];
    await using server = await stranger.serve(...flags);
    const text = await continuation(server, "tern-base3");
    expect(text).toBe(await continuation(server, "tern-i2_s"));
  });

  test("is found through wrinklefree.config.ts as well", async () => {
    const config = join(stranger.folder, "wrinklefree.config.ts");
    writeFileSync(config, `export default { plugins: ["${name}"] };\n`);
    await using server = await stranger.serve("-m", "tern-base3.gguf");
    rmSync(config);
    expect(await continuation(server, "tern-base3")).toStartWith(", there was a ");
  });

  test("a plugin that is not installed is one clear error", async () => {
    const { code, error } = await stranger.wrinklefree("serve", "--plugin", "wrinklefree-bose3");
    expect(error).toContain('there is no plugin "wrinklefree-bose3"');
    expect(error).toContain("npm install wrinklefree-bose3");
    expect(code).toBe(1);
  });
});

describe("a format with a kernel library in C", () => {
  const stranger = new Stranger();
  const name = "wrinklefree-s4";

  async function pluginWithLibrary(suffix: string, from = "", to = ""): Promise<string> {
    const folder = copyPlugin("test/fixtures/plugin-kernel");
    sabotage(folder, "package.json", name, name + suffix);
    sabotage(folder, "kernel.c", from, to);
    await buildLibrary(join(folder, "kernel.c"), join(folder, "lib/libs4.so"));
    return folder;
  }

  beforeAll(async () => {
    await stranger.install([
      await pluginWithLibrary(""),
      await pluginWithLibrary("-sums", "b < a->k / block", "b < a->k / block - 1"),
      await pluginWithLibrary(
        "-threads",
        "begin * rows_of_unit",
        "(begin + (begin > 0)) * rows_of_unit",
      ),
      await pluginWithLibrary("-gates", "product(a, r, j + 16)", "product(a, r, j + 15)"),
      await pluginWithLibrary("-pack", "sizeof(s4_block);", "sizeof(s4_block) - 1;"),
    ]);
  }, 120_000);
  afterAll(() => stranger[Symbol.dispose]());

  test("passes the suites in its author's hands", async () => {
    const { code, error } = await ownTests(stranger, name);
    expect(error).toContain("2 pass");
    expect(code).toBe(0);
  });

  const faults: [string, string, RegExp][] = [
    ["sums", "a forgotten block", /linear s4 .*: row 0, column 0 is .*, decode gives/],
    [
      "threads",
      "work that is not done where it is cut",
      /linear s4 .*(threads give other bits|column)/,
    ],
    ["gates", "a wrong row beside a gate", /linear s4 .*"gated":true.*/],
    ["pack", "packed bytes past the size it states", /pack of \[.*\] writes past its packed_bytes/],
  ];
  for (const [suffix, what, message] of faults) {
    test(`a copy with ${what} fails the suite`, async () => {
      const { code, error } = await ownTests(stranger, `${name}-${suffix}`);
      expect(error).toMatch(message);
      expect(code).toBe(1);
    });
  }

  test("converts, and serves through its own kernel", async () => {
    const out = ["-o", "tern-s4.gguf", "--plugin", name];
    const converted = await stranger.wrinklefree("convert", model, "-q", "s4", ...out);
    expect(converted.error).not.toContain("error:");
    expect(converted.code).toBe(0);
    await using server = await stranger.serve("-m", "tern-s4.gguf", "--plugin", name);
    expect(await continuation(server, "tern-s4")).toStartWith(", there was a ");
  });
});
