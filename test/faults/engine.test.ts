// The engine ends by an error or is killed: running answers fail with 503, all others go on.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { createRegistry } from "../../apps/plugins.ts";
import type { RunningServer } from "../../apps/server/serve.ts";
import { contextLength, modelPath, post, testServer } from "../server/support.ts";

const plugin = resolve(import.meta.dir, "crash-plugin.ts");
const model = {
  model: modelPath,
  aliases: ["tern"],
  contextLength,
  threads: 1,
  maxSequences: 2,
  plugins: [plugin],
};
const greedy = { temperature: 0, ignore_eos: true };

/** Processes whose parent is this one, running the engine's entry. */
function children(): number[] {
  const { stdout } = Bun.spawnSync(["ps", "-eo", "pid=,ppid=,args="]);
  return stdout
    .toString()
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, parent]) => Number(parent) === process.pid)
    .filter((fields) => fields.some((field) => field.endsWith("isolated.ts")))
    .map(([pid]) => Number(pid));
}

async function healthy(server: RunningServer): Promise<void> {
  for (;;) {
    const reply = await fetch(`${server.url}/health`);
    await reply.text();
    if (reply.ok) return;
    expect(reply.status).toBe(503);
    await Bun.sleep(5);
  }
}

describe("the engine's Worker ends by an error", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await testServer({ registry: await createRegistry([plugin]), models: [model] });
  });
  afterAll(() => server.stop());

  test("a queued request goes on, the running ones get 503, and the server is well again", async () => {
    const ask = (body: object) => post(`${server.url}/completion`, { ...greedy, ...body });
    const expected = await ask({ prompt: "Once", n_predict: 8 });
    expect(expected.status).toBe(200);
    const fatal = ask({ prompt: "The end", n_predict: 50, temperature: 1, crash_at: 20 });
    const beside = ask({ prompt: "Another", n_predict: 400 });
    const queued = ask({ prompt: "Once", n_predict: 8 });
    const [first, second, third] = await Promise.all([fatal, beside, queued]);
    expect([first.status, second.status, third.status]).toEqual([503, 503, 200]);
    expect(first.json.error).toMatchObject({ code: 503, type: "unavailable_error" });
    expect(first.json.error.message).not.toContain("\n");
    expect(third.json.content).toBe(expected.json.content);
    await healthy(server);
    const again = await ask({ prompt: "Once", n_predict: 8 });
    expect(again.json.content).toBe(expected.json.content);
  });
});

describe("the engine's process is killed (--isolate)", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await testServer({ models: [{ ...model, plugins: [], isolate: true }] });
  });
  afterAll(() => server.stop());

  test("its running answers get 503, the queue goes on in a new process", async () => {
    const ask = (body: object) => post(`${server.url}/completion`, { ...greedy, ...body });
    const expected = await ask({ prompt: "Once", n_predict: 8 });
    const running = [1, 2].map((i) => ask({ prompt: `Number ${i}`, n_predict: 450 }));
    const { client } = server.state.slots[0]!.model;
    while ((await client.stats()).sequences.filter((s) => s.generated > 0).length < 2);
    const queued = ask({ prompt: "Once", n_predict: 8 });
    while ((await client.stats()).queued < 1);
    const [pid] = children();
    expect(pid).toBeGreaterThan(0);
    process.kill(pid!, "SIGKILL");
    for (const answer of await Promise.all(running)) {
      expect(answer.status).toBe(503);
      expect(answer.json.error.message).toContain("SIGKILL");
    }
    const answer = await queued;
    expect([answer.status, answer.json.content]).toEqual([200, expected.json.content]);
    await healthy(server);
    expect(children()).not.toContain(pid!);
  });

  test("stopping the server ends the process", async () => {
    const other = await testServer({ models: [{ ...model, plugins: [], isolate: true }] });
    const before = children();
    await other.stop();
    while (children().length === before.length) await Bun.sleep(10);
    expect(children().length).toBe(before.length - 1);
  });
});
