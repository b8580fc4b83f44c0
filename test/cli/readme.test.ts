// What the README tells people to run is there: scripts, commands, flags, short names, links.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { commands } from "../../apps/cli/commands.ts";
import { parseName } from "../../apps/manage/name.ts";
import { buildPage } from "../../apps/web/bundle.ts";
import { root } from "../support/stranger.ts";

const readme = readFileSync(join(root, "README.md"), "utf8");
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const all = new Map(commands.map((create) => create()).map((command) => [command.name(), command]));

/** Every `npm ...` of the README, as the command and flags that it runs. */
const runs = [...readme.matchAll(/npm (start|test|run ([\w-]+))(?: -- ([^`\n]*))?/g)].map(
  ([text, first = "", script, rest = ""]) => {
    const words =
      rest
        .split(/\s{2,}/)[0]
        ?.split(" ")
        .filter(Boolean) ?? [];
    const name = script ?? first;
    const own = name === "start" ? "serve" : name === "wrinklefree" ? (words.shift() ?? "") : name;
    return { text, script: name, command: own, words };
  },
);

test("scripts, commands and flags are there", () => {
  expect(runs.length).toBeGreaterThan(10);
  for (const { text, script, command, words } of runs) {
    expect({ text, known: script in scripts }).toEqual({ text, known: true });
    if (["test", "setup"].includes(command)) continue;
    const options = all.get(command)?.options.flatMap(({ short, long }) => [short, long]) ?? [];
    expect({ text, known: all.has(command) }).toEqual({ text, known: true });
    for (const flag of words.filter((word) => word.startsWith("-"))) {
      expect({ text, flag, known: options.includes(flag) }).toEqual({ text, flag, known: true });
    }
  }
});

test("models that it names can be found by that name", () => {
  for (const [, name = ""] of readme.matchAll(/(?:-m|pull) ([a-z][\w.-]+)/g)) {
    const fine = name.endsWith(".gguf") || parseName(name) !== undefined;
    expect({ name, fine }).toEqual({ name, fine: true });
  }
});

test("links lead to files", () => {
  for (const [, path = ""] of readme.matchAll(/\]\(((?!http)[^)]+)\)/g)) {
    expect({ path, there: existsSync(join(root, path)) }).toEqual({ path, there: true });
  }
});

test("the page's weight is what it says, to the kilobyte", async () => {
  const sizes = (await buildPage()).map(({ bytes }) => Bun.gzipSync(bytes).length);
  const kilobytes = Math.round(sizes.reduce((sum, size) => sum + size, 0) / 1000);
  expect(readme).toContain(`a chat page of ${kilobytes} kB`);
});
