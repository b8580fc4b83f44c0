// The model's file is cut off or replaced while a server uses it: no SIGBUS, a clear 503.
import { afterEach, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, renameSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRegistry } from "../../apps/plugins.ts";
import type { RunningServer } from "../../apps/server/serve.ts";
import { bytesView } from "../../core/native/memory.ts";
import { openKernels } from "../../core/native/select.ts";
import { contextLength, modelPath, post, testServer } from "../server/support.ts";

const newFolder = (): string => mkdtempSync(join(tmpdir(), "wrinklefree-faults-"));
let server: RunningServer | undefined;
afterEach(async () => {
  await server?.stop();
});

/** A server on a copy of the fixture, run from the mapped file or packed. */
async function serveCopy(mapped: boolean): Promise<{ url: string; path: string }> {
  const path = join(newFolder(), "copy.gguf");
  copyFileSync(modelPath, path);
  const model = { model: path, aliases: ["copy"], contextLength, threads: 2, mapped };
  server = await testServer({ models: [model] });
  return { url: server.url, path };
}

const ask = (url: string, prompt: string) =>
  post(`${url}/completion`, { prompt, n_predict: 8, temperature: 0, ignore_eos: true });

test("bytes that are cut off a mapping read as zeros and are counted", async () => {
  const path = join(newFolder(), "bytes");
  writeFileSync(path, new Uint8Array(1 << 20).fill(7));
  const { host } = openKernels((await createRegistry()).kernels);
  const before = host.lostBytes;
  using file = host.mapFile(path);
  const bytes = bytesView(file.address, file.bytes);
  truncateSync(path, 1 << 16);
  expect([bytes[0], bytes[1 << 19], host.lostBytes - before]).toEqual([7, 0, 1 << 19]);
  expect([bytes[1 << 18], bytes[65535]]).toEqual([0, 7]);
});

describe("the model's file", () => {
  for (const mapped of [false, true]) {
    test(`is cut off (${mapped ? "mapped" : "packed"} weights): 503, not a dead process`, async () => {
      const { url, path } = await serveCopy(mapped);
      expect((await ask(url, "Once upon")).status).toBe(200);
      truncateSync(path, 4096);
      // Rows of the embedding that were not read before are past the file's end now.
      for (const prompt of ["The cat", "A big dog", "Rain and snow", "Seven ships"]) {
        const { status, json } = await ask(url, prompt);
        expect([200, 503]).toContain(status);
        if (status !== 200) expect(json.error.message).not.toContain(path);
      }
      const last = await ask(url, "Once upon");
      expect(last.status).toBe(503);
      expect(last.json.error.message).toStartWith("the engine cannot be started again (bad_file)");
      expect((await fetch(`${url}/health`)).status).toBe(503);
    });
  }

  test("is replaced by renaming another over it: answers stay the same", async () => {
    const { url, path } = await serveCopy(true);
    const before = await ask(url, "Once upon");
    copyFileSync("test/fixtures/gguf/tern-tq1_0.gguf", `${path}.new`);
    renameSync(`${path}.new`, path);
    await fetch(`${url}/flush_cache`, { method: "POST" });
    const after = await ask(url, "Once upon");
    expect([after.status, after.json.content]).toEqual([200, before.json.content]);
  });
});
