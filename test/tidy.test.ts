// The project's own rules, read from its files: layers, import circles, sizes, first lines.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, extname, join, normalize, relative } from "node:path";

const root = join(import.meta.dir, "..");

/** Every file that git tracks or would track, relative to the root. */
function files(): string[] {
  const git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"];
  const { stdout, success } = Bun.spawnSync(git, { cwd: root });
  expect(success).toBe(true);
  return stdout
    .toString()
    .split("\n")
    .filter((path) => path !== "" && Bun.file(join(root, path)).size > 0);
}

const data = /^test\/(golden|fixtures\/(tern|gguf))\//;
const everything = files();
const all = everything.filter((path) => !data.test(path));
const text = new Map<string, string>();
const read = (path: string): string => {
  const known = text.get(path) ?? readFileSync(join(root, path), "utf8");
  text.set(path, known);
  return known;
};
const ours = /^(core|plugins|apps|test|scripts|bin|examples|kernels-zig|build\.zig)/;
const code = all.filter(
  (path) => ours.test(path) && [".ts", ".tsx", ".mjs", ".zig"].includes(extname(path)),
);
const scripts = code.filter((path) => !path.endsWith(".zig"));
const own = scripts.filter((path) => /^(core|plugins|apps)\//.test(path));

interface Import {
  readonly from: string;
  /** A path relative to the root for a relative import, else a package's name. */
  readonly to: string;
}

/** Imports of a file, types and dynamic ones included, as the compiler's scanner sees them. */
function imports(path: string): Import[] {
  const source = read(path);
  const pattern =
    /(?:^|[;\n])\s*(?:import|export)\s(?:[^'"`;]*?\sfrom\s*)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']|new URL\(\s*["'](\.[^"']+\.ts)["']/g;
  return [...source.matchAll(pattern)].map((match) => {
    const name = (match[1] ?? match[2] ?? match[3])!;
    const to = name.startsWith(".") ? normalize(join(dirname(path), name)) : name;
    return { from: path, to };
  });
}

const edges = own.flatMap(imports);
const show = (edge: Import): string => `${edge.from} imports ${edge.to}`;

test("core imports neither plugins nor apps", () => {
  const wrong = edges.filter((e) => e.from.startsWith("core/") && /^(plugins|apps)\//.test(e.to));
  expect(wrong.map(show)).toEqual([]);
});

test("a plugin imports core/index.ts and its own folder only", () => {
  const wrong = edges.filter((edge) => {
    if (!edge.from.startsWith("plugins/") || edge.from === "plugins/standard.ts") return false;
    if (!/^(core|plugins|apps)\//.test(edge.to)) return false;
    const folder = edge.from.split("/").slice(0, 2).join("/");
    return edge.to !== "core/index.ts" && !edge.to.startsWith(`${folder}/`);
  });
  expect(wrong.map(show)).toEqual([]);
});

test("an app reaches into core by its public face, its engine or its test suites", () => {
  const wrong = edges.filter((e) => e.from.startsWith("apps/") && e.to.startsWith("plugins/"));
  const allowed = /^plugins\/standard\.ts$/;
  expect(wrong.filter((e) => !allowed.test(e.to)).map(show)).toEqual([]);
});

const owners: [string, RegExp][] = [
  ["bun:ffi", /^core\/native\//],
  ["tsyringe", /^core\/container\.ts$/],
  ["reflect-metadata", /^core\/container\.ts$/],
  ["elysia", /^apps\/server\//],
];
for (const [name, home] of owners) {
  test(`${name} is imported where it belongs only`, () => {
    const uses = edges.filter((e) => e.to === name || e.to.startsWith(`${name}/`));
    expect(uses.filter((e) => !home.test(e.from)).map(show)).toEqual([]);
  });
}

test("no import circle, types included", () => {
  const graph = new Map<string, string[]>(own.map((path) => [path, []]));
  for (const edge of edges) if (graph.has(edge.to)) graph.get(edge.from)!.push(edge.to);
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) circles.push([...trail.slice(start), path].join(" -> "));
    if (start >= 0 || done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  expect(circles).toEqual([]);
});

test("every relative import names a file that is there", () => {
  const known = new Set(everything);
  const relativeEdges = scripts.filter((p) => !p.startsWith("test/fixtures/")).flatMap(imports);
  const broken = relativeEdges.filter(
    (e) => /^[a-z-]+\//.test(e.to) && /\.(ts|mjs|json)$/.test(e.to),
  );
  const missing = broken.filter((e) => ours.test(e.to) && !known.has(e.to));
  expect(missing.map(show)).toEqual([]);
});

test("Zig ops import the contract and shared helpers, never another op", () => {
  const wrong = code
    .filter((path) => path.startsWith("kernels-zig/ops/") && !path.endsWith("/ops.zig"))
    .flatMap((path) =>
      [...read(path).matchAll(/@import\("([^"]+\.zig)"\)/g)].map((match) => ({
        from: path,
        to: normalize(join(dirname(path), match[1]!)),
      })),
    )
    .filter((edge) => /^kernels-zig\/(ops\/|executor|pool|host|library|header)/.test(edge.to));
  expect(wrong.map(show)).toEqual([]);
});

test("every file opens with one line that says what it is for", () => {
  const wrong = code.filter((path) => {
    const lines = read(path).split("\n");
    const first = lines[0]!.startsWith("#!") ? lines[1]! : lines[0]!;
    const comment = path.endsWith(".zig") ? /^\/\/!? ?\S.{9,}$/ : /^\/\/ \S.{9,}$/;
    return !comment.test(first);
  });
  expect(wrong).toEqual([]);
});

/** Files that may be longer than the rule, with the lines they are allowed. */
const longer: Record<string, number> = {
  // Generated.
  "core/native/abi.ts": 1000,
};

test("files stay short enough to read", () => {
  const limit = (path: string): number => longer[path] ?? (path.endsWith(".zig") ? 700 : 400);
  const wrong = code
    .map((path) => ({ path, lines: read(path).split("\n").length - 1 }))
    .filter(({ path, lines }) => lines > limit(path))
    .map(({ path, lines }) => `${path} has ${lines} lines, ${limit(path)} are allowed`);
  expect(wrong).toEqual([]);
});

test("lines stay within 100 columns, comments within 120", () => {
  // The contract's tables read better whole; no line break helps a URL or a long string.
  const free = /core\/native\/abi\.ts|kernels-zig\/(abi|header)\.zig/;
  const wrong: string[] = [];
  for (const path of code.filter((p) => !free.test(p))) {
    read(path)
      .split("\n")
      .forEach((line, index) => {
        const limit = /^\s*(\/\/|\*|\/\*)/.test(line) ? 120 : 100;
        if ([...line].length <= limit || /https?:\/\/|["'`].{60,}["'`]/.test(line)) return;
        wrong.push(`${path}:${index + 1} has ${[...line].length} columns`);
      });
  }
  expect(wrong).toEqual([]);
});

test("text files name no place of the machine they were written on", () => {
  const extensions = [
    ".ts",
    ".mjs",
    ".zig",
    ".md",
    ".json",
    ".sh",
    ".py",
    ".yaml",
    ".yml",
    ".toml",
  ];
  const pattern = new RegExp(["\\.\\./sh" + "ared", "/wo" + "rk/", "/fa" + "rm/"].join("|"));
  const wrong = all.filter(
    (path) => extensions.includes(extname(path)) && pattern.test(read(path)),
  );
  expect(wrong).toEqual([]);
});

test("no test is skipped, focused or left to do", () => {
  const pattern = new RegExp(
    `\\b(test|it|describe)\\.(${["skip", "only", "todo", "failing"].join("|")})\\b`,
  );
  const tests = scripts.filter(
    (path) => path.startsWith("test/") && path !== relative(root, import.meta.path),
  );
  expect(tests.filter((path) => pattern.test(read(path)))).toEqual([]);
});
