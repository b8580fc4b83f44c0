// The protocol with peers' processes, and reading llama-bench's output, with small stand-in programs.
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { llamaBench } from "../../bench/peers/llama-bench.ts";
import { ProcessPeer } from "../../bench/peers/peer.ts";

const folder = mkdtempSync(join(tmpdir(), "wf-peers-"));
afterAll(() => rmSync(folder, { recursive: true }));

function program(name: string, source: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!${process.execPath}\n${source}`);
  chmodSync(path, 0o755);
  return path;
}

test("a process answers commands; other lines it prints are passed over", async () => {
  const path = program(
    "peer.ts",
    `console.log(JSON.stringify({ ready: true, about: {} }));
     for await (const line of console) {
       console.log("working");
       const command = JSON.parse(line);
       console.log(JSON.stringify({ ms: command.tokens ?? command.depth + command.steps }));
     }`,
  );
  const peer = await ProcessPeer.start("stand-in", path, []);
  expect(await peer.time({ test: "prefill", tokens: 128 })).toBe(128);
  expect(await peer.time({ test: "decode", depth: 32, steps: 4 })).toBe(36);
  peer.close();
});

test("a process that ends is an error that names the engine", async () => {
  const path = program("ends.ts", "");
  const message = await ProcessPeer.start("stand-in", path, []).then(
    () => "",
    (error: Error) => error.message,
  );
  expect(message).toContain("stand-in ended");
});

test("llama-bench's speed becomes a time; depth is asked for as it does", async () => {
  const path = program(
    "llama-bench.ts",
    `console.log("some text");
     console.log(JSON.stringify([{ avg_ts: process.argv.includes("32,4") ? 8 : 64 }]));`,
  );
  const options = { program: path, model: "m.gguf", threads: 2, extra: [], name: "llama-bench" };
  const peer = llamaBench(options);
  expect(await peer.time({ test: "prefill", tokens: 128 })).toBe(2000);
  expect(await peer.time({ test: "decode", depth: 32, steps: 4 })).toBe(500);
});
