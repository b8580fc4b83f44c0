// The server under load and over time: queue limits, timeouts, pings, several models, its log.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import pino from "pino";
import { prettyLine } from "../../apps/server/log.ts";
import type { RunningServer } from "../../apps/server/serve.ts";
import { contextLength, idle, type Json, modelPath, post, testServer } from "./support.ts";

const endless = { prompt: "Once", ignore_eos: true };

describe("one sequence at a time, one waiting", () => {
  let server: RunningServer;
  const lines: Json[] = [];

  beforeAll(async () => {
    server = await testServer({
      models: [
        {
          model: modelPath,
          aliases: ["tern"],
          contextLength,
          threads: 1,
          maxSequences: 1,
          engine: { queueLimit: 1 },
        },
      ],
      pingMs: 20,
      log: pino(
        { level: "info", base: undefined },
        { write: (line) => void lines.push(JSON.parse(line)) },
      ),
    });
  });
  afterAll(() => server.stop());

  test("a third request is refused with 429 and Retry-After, and later served", async () => {
    const abort = new AbortController();
    const url = `${server.url}/completion`;
    const start = () =>
      fetch(url, { method: "POST", body: JSON.stringify(endless), signal: abort.signal }).then(
        () => "answered",
        () => "left",
      );
    const client = server.state.slots[0]!.model.client;
    const first = start();
    while ((await client.stats()).running < 1) await Bun.sleep(1);
    const second = start();
    while ((await client.stats()).queued < 1) await Bun.sleep(1);
    const third = await post(url, { prompt: "Once", n_predict: 1 });
    expect(third.status).toBe(429);
    expect(third.json.error.type).toBe("rate_limit_error");
    expect(third.headers.get("retry-after")).toBe("1");
    const streamed = await post(url, { prompt: "Once", n_predict: 1, stream: true });
    expect(streamed.status).toBe(429);
    abort.abort();
    expect(await Promise.all([first, second])).toEqual(["left", "left"]);
    await idle(server);
    expect((await post(url, { prompt: "Once", n_predict: 1 })).status).toBe(200);
  });

  test("a request ends at its time limit with what it has", async () => {
    const { json } = await post(`${server.url}/completion`, { ...endless, t_max_predict_ms: 1 });
    expect(json).toMatchObject({ stop_type: "limit", truncated: true });
    expect(json.tokens_predicted).toBeLessThan(contextLength - 2);
  });

  test("logs each request as one line with its id and counts", async () => {
    lines.length = 0;
    const url = `${server.url}/completion`;
    await post(url, { prompt: "Once", n_predict: 3 }, { "x-request-id": "one" });
    const stream = { prompt: "Once", n_predict: 3, stream: true };
    const reply = await fetch(url, {
      method: "POST",
      body: JSON.stringify(stream),
      headers: { "x-request-id": "two" },
    });
    await reply.text();
    await post(url, { prompt: 5 }, { "x-request-id": "three" });
    const [one, two, three] = lines;
    for (const line of [one, two]) {
      expect(line).toMatchObject({
        method: "POST",
        path: "/completion",
        status: 200,
        completion_tokens: 3,
        stop: "limit",
      });
    }
    expect([one.id, two.id, three.id]).toEqual(["one", "two", "three"]);
    expect(three.status).toBe(400);
    const text = prettyLine(
      JSON.stringify({ ...one, level: "info", time: "2026-01-02T03:04:05Z" }),
    );
    expect(text).toStartWith(
      "03:04:05 info  request id=one method=POST path=/completion status=200",
    );
  });
});

test("a stream that waits long sends pings, as often as its request says", async () => {
  const server = await testServer({
    models: [
      {
        model: modelPath,
        contextLength: 4096,
        threads: 1,
        maxSequences: 1,
        engine: { queueLimit: 32 },
      },
    ],
    pingMs: 60_000,
  });
  const abort = new AbortController();
  try {
    const url = `${server.url}/v1/completions`;
    const body = JSON.stringify({ ...endless, n: 16, stream: true });
    const busy = await fetch(url, { method: "POST", body, signal: abort.signal });
    const client = server.state.slots[0]!.model.client;
    while ((await client.stats()).queued < 15) await Bun.sleep(1);
    const waiting = await fetch(url, {
      method: "POST",
      body: JSON.stringify({
        prompt: "Once",
        max_tokens: 1,
        stream: true,
        sse_ping_interval: 0.02,
      }),
    });
    const { value } = await waiting.body!.getReader().read();
    expect(new TextDecoder().decode(value)).toBe(":\n\n");
    expect(busy.status).toBe(200);
  } finally {
    abort.abort();
    await server.stop();
  }
});

test("a server that stops finishes what it has begun, and takes nothing new", async () => {
  const server = await testServer({ metrics: true });
  const url = `${server.url}/v1/completions`;
  const body = JSON.stringify({ ...endless, stream: true });
  const stream = await fetch(url, { method: "POST", body });
  const stopped = server.stop(60_000);
  const late = await post(url, { prompt: "Once", max_tokens: 1 });
  expect(late.status).toBe(503);
  expect(late.json.error.type).toBe("unavailable_error");
  for (const [path, status] of [
    ["/health", 503],
    ["/health/ready", 503],
    ["/health/live", 200],
    ["/metrics", 200],
  ] as const) {
    expect([path, (await fetch(server.url + path)).status]).toEqual([path, status]);
  }
  expect((await stream.text()).trimEnd()).toEndWith("data: [DONE]");
  await stopped;
});

describe("two models", () => {
  let server: RunningServer;
  beforeAll(async () => {
    const common = { contextLength: 128, threads: 1, maxSequences: 4 };
    server = await testServer({
      models: [
        { ...common, model: modelPath, aliases: ["first", "one"] },
        { ...common, model: "test/fixtures/gguf/tern-tq2_0.gguf", aliases: ["second"] },
      ],
    });
  });
  afterAll(() => server.stop());

  test("are chosen by name or alias; an unknown name is a 404", async () => {
    const url = `${server.url}/v1/completions`;
    const ask = (model?: string) => post(url, { prompt: "Once", max_tokens: 2, model });
    expect((await ask("second")).json.model).toBe("second");
    expect((await ask("one")).json.model).toBe("first");
    expect((await ask()).json.model).toBe("first");
    const unknown = await ask("third");
    expect(unknown.status).toBe(404);
    expect(unknown.json.error).toMatchObject({ type: "not_found_error", param: "model" });
    const list: Json = await (await fetch(`${server.url}/v1/models`)).json();
    expect(list.data.map((model: Json) => model.id)).toEqual(["first", "second"]);
    const one: Json = await (await fetch(`${server.url}/v1/models/one`)).json();
    expect(one.id).toBe("first");
  });
});
