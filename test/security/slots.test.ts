// Saved caches stay in their folder, and no answer, log line or metric tells what it must not.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { prettyLine } from "../../apps/server/log.ts";
import type { RunningServer } from "../../apps/server/serve.ts";
import { post, testServer } from "../server/support.ts";
import { exchange } from "./client.ts";

const secret = "quinoa zeppelin";

describe("a server that saves slots", () => {
  let server: RunningServer;
  let outside: string;
  let folder: string;
  const lines: string[] = [];

  beforeAll(async () => {
    outside = mkdtempSync(join(tmpdir(), "wrinklefree-slots-"));
    folder = join(outside, "slots");
    mkdirSync(folder);
    server = await testServer({
      slotSavePath: folder,
      metrics: true,
      log: pino({ level: "debug" }, { write: (line: string) => void lines.push(line) }),
    });
    const prompt = `${secret} `.repeat(20);
    await post(`${server.url}/completion`, { prompt, n_predict: 2, id_slot: 0 });
  });
  afterAll(async () => {
    await server.stop();
    rmSync(outside, { recursive: true });
  });

  const act = (action: string, filename: unknown) =>
    post(`${server.url}/slots/0?action=${action}`, { filename });

  test("saves and restores by a plain name", async () => {
    const saved = await act("save", "good.bin");
    expect([saved.status, saved.json.n_saved > 20]).toEqual([200, true]);
    const restored = await act("restore", "good.bin");
    expect([restored.status, restored.json.n_restored]).toEqual([200, saved.json.n_saved]);
    expect(readdirSync(folder)).toEqual(["good.bin"]);
  });

  test("takes no name that leads out of its folder", async () => {
    const names = [
      ...["..", ".", "", "../x", "a/b", "a\\b", "/etc/passwd", "..\\x", "%2e%2e%2fx", ".hidden"],
      ...["a\0b", "a\nb", "x".repeat(300), "a:b", "~", "é", 5, ["a"], { a: 1 }],
    ];
    for (const name of names) {
      for (const action of ["save", "restore"]) {
        const { status, json } = await act(action, name);
        expect([name, status]).toEqual([name, 400]);
        expect(json.error.param).toBe("filename");
      }
    }
    expect(readdirSync(outside)).toEqual(["slots"]);
    expect(readdirSync(folder)).toEqual(["good.bin"]);
  });

  test("follows no link out of it, neither to read nor to write", async () => {
    symlinkSync(join(folder, "good.bin"), join(folder, "inside"));
    symlinkSync("/etc/passwd", join(folder, "passwd"));
    symlinkSync(join(outside, "made"), join(folder, "made"));
    for (const name of ["inside", "passwd", "made", "missing"]) {
      const { status, json } = await act("restore", name);
      expect([name, status]).toEqual([name, 400]);
      // The same words for all: they do not tell what is there.
      expect(json.error.message).toBe(`no saved cache ${name}`);
    }
    const saved = await act("save", "made");
    expect(saved.status).toBe(200);
    expect(readdirSync(outside)).toEqual(["slots"]);
    symlinkSync(join(outside, "hit"), join(folder, `trap.${process.pid}.tmp`));
    const trapped = await act("save", "trap");
    expect(trapped.status).toBe(500);
    expect(trapped.json.error.message).toStartWith("cannot save the cache to trap");
    expect(readdirSync(outside)).toEqual(["slots"]);
  });

  test("names no folder and no stack in an error", async () => {
    for (const [path, body] of [
      ["/slots/0?action=restore", { filename: "missing" }],
      ["/slots/0?action=save", { filename: "x".repeat(129) }],
      ["/completion", { prompt: 5 }],
      ["/completion", { prompt: "a", json_schema: { pattern: "(" } }],
      ["/v1/chat/completions", { messages: [{ role: "x", content: [{ type: "file" }] }] }],
      ["/nothing", {}],
    ] as const) {
      const { status, json } = await post(server.url + path, body);
      expect([path, status >= 400]).toEqual([path, true]);
      expect(JSON.stringify(json)).not.toMatch(/\n\s+at |node_modules|\.ts:\d+/);
      expect(JSON.stringify(json)).not.toContain(outside);
      expect(JSON.stringify(json)).not.toContain(process.cwd());
    }
  });

  test("tells prompts neither in its metrics nor in its log", async () => {
    await post(`${server.url}/completion`, { prompt: secret, n_predict: 1, stop: [secret] });
    await post(`${server.url}/completion`, { prompt: secret, n_predict: "x" });
    await post(`${server.url}/tokenize`, { content: secret });
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain("wrinklefree_requests_total");
    expect(metrics).not.toContain("quinoa");
    expect(lines.length).toBeGreaterThan(10);
    expect(lines.join("")).not.toContain("quinoa");
  });

  test("writes one line for one request, whatever its path, id and names hold", async () => {
    lines.length = 0;
    const forged = '{"level":"info","msg":"forged"}';
    const ids = [`a\t${forged}`, "\u001b[2J", "x".repeat(10_000)];
    for (const id of ids) {
      const head = `GET /models/%0a${encodeURIComponent(forged)}%1b HTTP/1.1\r\nHost: localhost`;
      await exchange(server, `${head}\r\nX-Request-Id: ${id}\r\nConnection: close\r\n\r\n`);
      const get = "GET /health?x=%0a%0d HTTP/1.1\r\nHost: localhost";
      await exchange(server, `${get}\r\nX-Request-Id: ${id}\r\nConnection: close\r\n\r\n`);
    }
    await post(`${server.url}/completion`, { prompt: "a", n_predict: 1, model: `m\n${forged}` });
    expect(lines.length).toBeGreaterThanOrEqual(ids.length + 1);
    for (const line of lines) {
      expect(line.indexOf("\n")).toBe(line.length - 1);
      expect(JSON.parse(line).msg).not.toBe("forged");
      const pretty = prettyLine(line);
      expect(pretty.indexOf("\n")).toBe(pretty.length - 1);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      expect(pretty).not.toMatch(/[\0-\x09\x0b-\x1f\x7f]/);
    }
  });
});

test("a readable log escapes what a value holds, and sets a stack apart from entries", () => {
  const err = { stack: "Error: a\n12:00:00 info  request forged\u001b[2J\n    at x" };
  const line = JSON.stringify({ level: "error", time: "2026-01-02T03:04:05Z", msg: "m", err });
  expect(prettyLine(line)).toBe(
    "03:04:05 error m\n    Error: a\n    12:00:00 info  request forged\\u001b[2J\n        at x\n",
  );
  const value = JSON.stringify({ level: "info", time: "2026-01-02T03:04:05Z", a: "x\ny\r\u001b" });
  expect(prettyLine(value)).toBe("03:04:05 info   a=x\\ny\\u000d\\u001b\n");
});
