// The command line: help that reads well, near names suggested, exit codes 0, 1, 2.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { commands } from "../../apps/cli/commands.ts";
import { root, run } from "../support/stranger.ts";

const wrinklefree = (...args: string[]) =>
  run([process.execPath, join(root, "apps/cli/main.ts"), ...args], root);

test("the version is the package's", async () => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  expect(await wrinklefree("--version")).toEqual({ code: 0, out: `${version}\n`, error: "" });
});

test("the launcher runs under Node, too", async () => {
  const { code, out } = await run(["node", join(root, "bin/wrinklefree.mjs"), "--help"], root);
  expect(code).toBe(0);
  expect(out).toContain("Usage: wrinklefree [options] [command]");
});

describe("help", () => {
  const names = commands.map((create) => create().name());

  test("lists every command", async () => {
    const { out } = await wrinklefree("--help");
    for (const name of names) expect(out).toMatch(new RegExp(`^  ${name} `, "m"));
  });

  for (const name of names) {
    test(`of ${name} has two examples and fits a terminal`, async () => {
      const { code, out } = await wrinklefree(name, "--help");
      expect(code).toBe(0);
      const examples = out.split("Examples:\n")[1] ?? "";
      expect(examples.match(/^ {2}\$ /gm)?.length).toBeGreaterThanOrEqual(2);
      expect(out.split("\n").filter((line) => line.length > 110)).toEqual([]);
    });
  }
});

describe("a misspelt flag", () => {
  for (const create of commands) {
    const command = create();
    const flag = command.options.find(({ long }) => (long?.length ?? 0) > 5)?.long ?? "--help";
    const wrong = flag.slice(0, -2) + flag.at(-1) + flag.at(-2);
    const near = `error: unknown option '${wrong}' (Did you mean ${flag}?)`;
    test(`of ${command.name()}: ${wrong} is answered with ${flag}`, async () => {
      // What a command cannot do without is missed before.
      const needed = command.name() === "validate" ? ["--url", "http://127.0.0.1:9"] : [];
      const { code, error } = await wrinklefree(command.name(), ...needed, wrong);
      expect(error).toStartWith(near);
      expect(error).toContain(`hint: wrinklefree ${command.name()} --help`);
      expect(code).toBe(2);
    });
  }
});

describe("a misspelt command", () => {
  for (const name of commands.map((create) => create().name()).filter(({ length }) => length > 2)) {
    const wrong = `${name.slice(0, -1)}x`;
    test(`${wrong} is answered with ${name}`, async () => {
      const { code, error } = await wrinklefree(wrong);
      expect(error).toMatch(new RegExp(`^error: unknown command '${wrong}' .*\\b${name}\\b`));
      expect(code).toBe(2);
    });
  }
});

test("output that nobody reads to its end is no error", async () => {
  const shell = `"${process.execPath}" apps/cli/main.ts pull --list | head -1`;
  const { code, error } = await run(["sh", "-c", shell], root);
  expect({ code, error }).toEqual({ code: 0, error: "" });
});

describe("a mistake", () => {
  const mistakes: [string[], RegExp][] = [
    [["servr"], /^error: unknown command 'servr' \(Did you mean serve\?\)$/m],
    [["serve", "--prot", "1"], /^error: unknown option '--prot' \(Did you mean --port\?\)$/m],
    [["convert", "a", "b"], /^error: too many arguments/m],
    [["validate"], /^error: required option '--url <url>' not specified$/m],
    [["validate", "--url", "http://x", "--cycles", "0"], /^error: option '--cycles <n>' .*0/m],
  ];
  for (const [args, message] of mistakes) {
    test(`as in "wrinklefree ${args.join(" ")}" is one line, a hint and code 2`, async () => {
      const { code, out, error } = await wrinklefree(...args);
      expect(error).toMatch(message);
      expect(error).toMatch(/^hint: /m);
      expect(error).not.toMatch(/^ +at /m);
      expect({ code, out }).toEqual({ code: 2, out: "" });
    });
  }

  test("in what a flag names is code 1", async () => {
    const { code, error } = await wrinklefree("serve", "-m", "/nowhere/model.gguf", "--port", "0");
    expect(error).toContain("/nowhere/model.gguf");
    expect(code).toBe(1);
  });
});
