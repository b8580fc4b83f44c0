// One executable: it starts with no network, no home and nothing installed, and makes others of itself.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { appendedModel, pageBytes, writeFooter } from "../../core/appended.ts";
import { must, root, run } from "../support/stranger.ts";

const folder = mkdtempSync(join(tmpdir(), "wf-bundle-"));
const executable = join(folder, "wrinklefree");
const bare = { PATH: "/usr/bin:/bin", HOME: "/nonexistent", TMPDIR: folder, NO_COLOR: "1" };
const build = ["apps/cli/main.ts", "bundle", "-o", executable];

beforeAll(() => must([process.execPath, ...build], root));
afterAll(() => rmSync(folder, { recursive: true }));

/** `unshare` with a network of its own, in which nothing is reached; empty where it is not allowed. */
const noNetwork = await run(["unshare", "-rn", "true"], root).then(
  ({ code }) => (code === 0 ? ["unshare", "-rn"] : []),
  () => [],
);
if (noNetwork.length === 0) console.log("bundle: unshare -n is not allowed: the network is there");

/** Starts a server on a Unix socket, which needs no network, and gives its answers. */
async function answers(program: string, flags: readonly string[] = []) {
  const unix = join(folder, "socket.sock");
  const command = [...noNetwork, program, "serve", "--host", unix, "-t", "1", ...flags];
  const child = Bun.spawn(command, { cwd: folder, env: bare, stdout: "pipe", stderr: "ignore" });
  let text = "";
  for await (const chunk of child.stdout) {
    text += new TextDecoder().decode(chunk);
    if (text.includes("Ready.")) break;
  }
  const ask = (path: string, body?: object): Promise<Response> =>
    fetch(`http://localhost${path}`, {
      unix,
      ...(body ? { method: "POST", body: JSON.stringify(body) } : {}),
      headers: { "content-type": "application/json" },
    });
  try {
    const { status } = await ask("/health");
    const prompt = { prompt: "Once upon a time", max_tokens: 12, temperature: 0 };
    const { choices, model } = (await (await ask("/v1/completions", prompt)).json()) as {
      choices: { text: string }[];
      model: string;
    };
    const page = await (await ask("/")).text();
    return { note: text, status, model, text: choices[0]?.text, page };
  } finally {
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  }
}

test("serves its model and page where there is nothing else, and cleans up", async () => {
  const found = await answers(executable);
  expect(found).toMatchObject({ status: 200, model: "wrinklefree" });
  expect(found.note).toContain("No model was given");
  expect(found.text?.length).toBeGreaterThan(20);
  expect(found.page).toContain("<html");
  // Without a home its files were in a temporary folder.
  const { out } = await run(["ls", folder], root);
  expect(out).not.toContain("wrinklefree-");
  expect(await answers(executable, ["--isolate"])).toMatchObject({ text: found.text });
});

test("carries a given model, mapped where a page starts, and has every command", async () => {
  const model = join(folder, "other.gguf");
  const mine = join(folder, "mymodel");
  await must([executable, "convert", executable, "-q", "tq2_0", "-o", model], folder, bare);
  await must([executable, "bundle", "-m", model, "-o", mine], folder, bare);
  const { offset, byteLength, builtIn } = appendedModel(mine)!;
  expect({ page: offset % pageBytes, builtIn }).toEqual({ page: 0, builtIn: false });
  const bytes = readFileSync(mine).subarray(offset, offset + byteLength);
  expect(bytes.equals(readFileSync(model))).toBe(true);
  const [first, second] = [await answers(executable), await answers(mine)];
  expect(second).toMatchObject({ status: 200, model: "mymodel", text: first.text });
  expect(second.note).not.toContain("No model was given");
});

test("a footer that does not fit is no model", async () => {
  const path = join(folder, "broken");
  const size = 3 * pageBytes;
  const cases = [
    { offset: pageBytes, byteLength: 2 * pageBytes, good: true },
    { offset: pageBytes, byteLength: 2 * pageBytes + 1, good: false },
    { offset: pageBytes + 1, byteLength: 2 * pageBytes - 1, good: false },
    { offset: 0, byteLength: size, good: false },
    { offset: 2 ** 60, byteLength: size - 2 ** 60, good: false },
  ];
  for (const { good, ...place } of cases) {
    const footer = writeFooter({
      ...place,
      byteLength: Math.abs(place.byteLength),
      builtIn: false,
    });
    await Bun.write(path, new Blob([new Uint8Array(size), footer]));
    expect({ place, good: appendedModel(path) !== undefined }).toEqual({ place, good });
  }
  expect(appendedModel(join(folder, "missing"))).toBeUndefined();
  expect(statSync(executable).mode & 0o111).toBe(0o111);
});
