// docs: every file and every file#name that the documents mention exists.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const documents = [
  "README.md",
  "CONTRIBUTING.md",
  "docs/ARCHITECTURE.md",
  "docs/PLUGINS.md",
  "docs/CONVERT.md",
];
const folders = "core|plugins|apps|kernels-zig|test|scripts|bin|docs|examples|\\.ci";
const mention = new RegExp(`\`((?:${folders})/[\\w./-]+)(?:#([\\w.]+))?\``, "g");

/** Whether `source` declares `name` ("Class.method" for a member). */
function declares(source: string, name: string): boolean {
  const [owner, member] = name.split(".") as [string, string | undefined];
  const keyword = "(?:function\\*?|class|const|let|interface|type|fn|var)";
  if (!new RegExp(`\\b${keyword} ${owner}\\b`).test(source)) return false;
  return member === undefined || new RegExp(`\\b${member}\\b\\??\\s*[(<:]`).test(source);
}

for (const document of documents) {
  const path = join(root, document);
  test(`${document} names only what exists`, () => {
    const wrong: string[] = [];
    for (const [, file, name] of readFileSync(path, "utf8").matchAll(mention)) {
      const target = join(root, file!);
      if (!existsSync(target)) wrong.push(file!);
      else if (name && !declares(readFileSync(target, "utf8"), name)) wrong.push(`${file}#${name}`);
    }
    expect(wrong).toEqual([]);
  });
}

test("links between documents lead somewhere", () => {
  const wrong: string[] = [];
  for (const document of documents) {
    const folder = join(root, document, "..");
    const text = readFileSync(join(root, document), "utf8");
    for (const [, link] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      if (!existsSync(join(folder, link!))) wrong.push(`${document}: ${link}`);
    }
  }
  expect(wrong).toEqual([]);
});
