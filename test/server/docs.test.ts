// The documents name the routes and the tests that there are, and no others.
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRegistry } from "../../apps/plugins.ts";
import { allRoutes } from "../../apps/server/routes.ts";

test("the documented routes are the server's", async () => {
  const text = await readFile("docs/SERVER.md", "utf8");
  const table = text.slice(text.indexOf("## Routes"), text.indexOf("Aliases ("));
  const documented = new Set(
    [...table.matchAll(/`((?:GET|POST|DELETE) \/\S*)`/g)].map((m) => m[1]!),
  );
  const routes = allRoutes((await createRegistry()).samplers);
  const known = new Set(routes.flatMap(({ method, paths }) => paths.map((p) => `${method} ${p}`)));
  expect([...documented].filter((name) => !known.has(name))).toEqual([]);
  const pages = routes.filter((route) => route.tag !== "Page");
  const missing = pages.filter(({ method, paths }) => !documented.has(`${method} ${paths[0]}`));
  expect(missing.map(({ method, paths }) => `${method} ${paths[0]}`)).toEqual([]);
});

test("the tests that the coverage tables name are there", async () => {
  const text = await readFile("docs/API-COVERAGE.md", "utf8");
  const rows = text.split("\n").filter((line) => /^\| (?!Surface|Its test|---)/.test(line));
  const names = rows.flatMap((row) =>
    row
      .split("|")[3]!
      .split(",")
      .map((name) => name.replace(/\(.*\)/, "").trim()),
  );
  const places = (name: string): string[] => [
    `test/server/${name}.test.ts`,
    `test/${name}.test.ts`,
    `test/${name}`,
    name,
  ];
  const missing = names.filter((name) => name !== "" && !places(name).some(existsSync));
  expect(missing).toEqual([]);
  expect(names.length).toBeGreaterThan(50);
});
