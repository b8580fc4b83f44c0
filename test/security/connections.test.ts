// Clients that are slow, silent, many or gone: each is refused or dropped, and nothing of it stays.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { RunningServer } from "../../apps/server/serve.ts";
import { idle, modelPath, post, testServer } from "../server/support.ts";
import { exchange, RawClient, request } from "./client.ts";

const endless = { prompt: "Once", ignore_eos: true };

/** Waits until the engine runs nothing, then checks that every page can be had again. */
async function expectNothingHeld(server: RunningServer): Promise<void> {
  await idle(server);
  const stats = await server.state.slots[0]!.model.client.stats();
  expect(stats.pagesFree + stats.pagesCached).toBe(stats.pagesTotal);
}

describe("limits of headers, bodies and time", () => {
  let server: RunningServer;
  beforeAll(async () => {
    const limits = { bodyBytes: 100_000, bodyMs: 300, arrivingBytes: 150_000, idleSeconds: 4 };
    server = await testServer({ limits });
  });
  afterAll(() => server.stop());

  test("header lines past 16 KiB, too many of them, and a long address are a 431", async () => {
    const line = `GET /health HTTP/1.1\r\nHost: localhost\r\n`;
    for (const bytes of [
      `${line}X: ${"a".repeat(100_000)}\r\n\r\n`,
      `${line}${"X: a\r\n".repeat(1000)}\r\n`,
      `GET /${"a".repeat(100_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    ]) {
      expect(await exchange(server, bytes)).toStartWith("HTTP/1.1 431");
    }
  });

  test("two lengths, a length and chunks, and no host are a 400: nothing is smuggled", async () => {
    const post = "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n";
    for (const bytes of [
      `${post}Content-Length: 3\r\n\r\n{} `,
      `${post}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      "GET /health HTTP/1.1\r\n\r\n",
    ]) {
      expect(await exchange(server, bytes)).toStartWith("HTTP/1.1 400");
    }
  });

  test("a body that drips is a 408 and its connection is closed", async () => {
    const client = await RawClient.open(server);
    client.send(request("/completion", "{", 1000));
    const drip = setInterval(() => client.send(" "), 50);
    const text = await client.closed;
    clearInterval(drip);
    expect(text).toStartWith("HTTP/1.1 408");
    expect(text).toContain("did not arrive within 300 ms");
  });

  test("bodies that arrive together share a limit; the one past it is a 429", async () => {
    const clients = await Promise.all([RawClient.open(server), RawClient.open(server)]);
    for (const client of clients) client.send(request("/completion", "x".repeat(90_000), 95_000));
    const texts = await Promise.all(clients.map((client) => client.closed));
    const statuses = texts.map((text) => text.slice(9, 12)).sort();
    expect(statuses).toEqual(["408", "429"]);
    expect((await post(`${server.url}/tokenize`, { content: "a" })).status).toBe(200);
  });

  test("a connection on which nothing comes is closed: before, within and after a request", async () => {
    const starts = ["", "GET /health HTTP/1.1\r\nHost:", request("/health")];
    const clients = await Promise.all(starts.map(() => RawClient.open(server)));
    for (const [i, client] of clients.entries()) client.send(starts[i]!);
    const texts = await Promise.all(clients.map((client) => client.closed));
    expect(texts[0]).toBe("");
    expect(texts[1]).toBe("");
    expect(texts[2]).toStartWith("HTTP/1.1 200");
  }, 60_000);
});

// Bun's own sockets read ahead; a Python one with a small window really takes nothing.
const python = Bun.which("python3");
if (!python) console.log("skipped: a reader that takes nothing needs python3");

test.skipIf(!python)(
  "a reader that takes nothing has bounded buffers, is dropped, and its pages are free",
  async () => {
    const server = await testServer({
      limits: { idleSeconds: 2 },
      models: [{ model: modelPath, aliases: ["tern"], contextLength: 16_384, threads: 1 }],
    });
    const body = JSON.stringify({ ...endless, n_probs: 100, stream: true });
    const script = `
import socket, sys, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
s.connect(("127.0.0.1", int(sys.argv[1])))
s.sendall(sys.stdin.buffer.read())
time.sleep(600)`;
    const reader = Bun.spawn({
      cmd: [python!, "-c", script, new URL(server.url).port],
      stdin: new Blob([request("/completion", body)]),
    });
    try {
      const { client } = server.state.slots[0]!.model;
      while ((await client.stats()).running < 1) await Bun.sleep(5);
      await expectNothingHeld(server);
      // It was dropped, not finished.
      expect((await client.stats()).generatedTokens).toBeLessThan(16_000);
      expect(reader.exitCode).toBeNull();
    } finally {
      reader.kill();
      await server.stop();
    }
  },
  60_000,
);

describe("one sequence at a time, two waiting", () => {
  let server: RunningServer;
  beforeAll(async () => {
    const engine = { queueLimit: 2 };
    server = await testServer({
      models: [{ model: modelPath, contextLength: 8192, threads: 1, maxSequences: 1, engine }],
    });
  });
  afterAll(() => server.stop());

  test("a flood is answered 429 while the first request still runs; nothing of it stays", async () => {
    const leave = new AbortController();
    const url = `${server.url}/completion`;
    const { client } = server.state.slots[0]!.model;
    const stay = [0, 1, 2].map(() =>
      fetch(url, {
        method: "POST",
        body: JSON.stringify({ ...endless, stream: true }),
        signal: leave.signal,
      }).then(
        (reply) => reply.text().catch(() => "left"),
        () => "left",
      ),
    );
    while ((await client.stats()).queued < 2) await Bun.sleep(1);
    const flood = await Promise.all(
      Array.from({ length: 200 }, () => post(url, { prompt: "Once", n_predict: 1 })),
    );
    const refused = flood.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(190);
    for (const { headers } of refused) expect(headers.get("retry-after")).toBe("1");
    leave.abort();
    await Promise.all(stay);
    await expectNothingHeld(server);
  });
});

describe("a client that leaves", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await testServer();
  });
  afterAll(() => server.stop());

  test("at any byte of its request leaves nothing behind", async () => {
    const bytes = request("/completion", JSON.stringify({ ...endless, stream: true }));
    for (let sent = 1; sent <= bytes.length; sent++) {
      const client = await RawClient.open(server);
      client.send(bytes.slice(0, sent));
      if (sent % 16 === 0) await Bun.sleep(1);
      client.leave();
    }
    await expectNothingHeld(server);
    expect((await post(`${server.url}/tokenize`, { content: "a" })).status).toBe(200);
  });

  test("at any byte of its answer leaves nothing behind, streamed or whole", async () => {
    for (const stream of [true, false]) {
      for (let wanted = 1; wanted < 3000; wanted += 150) {
        const client = await RawClient.open(server);
        client.send(request("/completion", JSON.stringify({ ...endless, stream })));
        while (stream && client.received.length < wanted) await Bun.sleep(1);
        if (!stream) await Bun.sleep(wanted % 7);
        client.leave();
      }
    }
    await expectNothingHeld(server);
  });
});
