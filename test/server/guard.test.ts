// Who may call and how: keys, hosts, origins, body limits, sockets, TLS, pipelining, the document.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { createRegistry } from "../../apps/plugins.ts";
import { allRoutes } from "../../apps/server/routes.ts";
import type { RunningServer } from "../../apps/server/serve.ts";
import { type Json, post, testServer } from "./support.ts";

const body = { prompt: "Once", n_predict: 1 };
const page = "https://evil.example";

describe("an open server on loopback", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await testServer({ limits: { bodyBytes: 1000 } });
  });
  afterAll(() => server.stop());

  test("refuses a foreign Host and a foreign Origin, and sends no CORS headers", async () => {
    const host = await raw(server, `POST /completion HTTP/1.1\r\nHost: evil.example\r\n${json()}`);
    expect(host).toContain("HTTP/1.1 403");
    const origin = await post(`${server.url}/completion`, body, { origin: page });
    expect(origin.status).toBe(403);
    expect(origin.json.error.type).toBe("permission_error");
    expect(origin.headers.get("access-control-allow-origin")).toBeNull();
    const preflight = await fetch(`${server.url}/completion`, {
      method: "OPTIONS",
      headers: { origin: page, "access-control-request-method": "POST" },
    });
    expect(preflight.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("lets its own page call", async () => {
    const reply = await post(`${server.url}/completion`, body, { origin: server.url });
    expect(reply.status).toBe(200);
  });

  test("refuses bodies past its limit, told or not, with an error object", async () => {
    const large = { ...body, prompt: "x".repeat(1200) };
    const told = await post(`${server.url}/completion`, large);
    expect(told.status).toBe(413);
    expect(told.json.error.code).toBe(413);
    const chunked = await fetch(`${server.url}/completion`, {
      method: "POST",
      body: new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(JSON.stringify(large)));
          controller.close();
        },
      }),
    });
    expect(chunked.status).toBe(413);
    expect((await post(`${server.url}/completion`, body)).status).toBe(200);
  });

  test("refuses packed bodies in plain words", async () => {
    const reply = await fetch(`${server.url}/completion`, {
      method: "POST",
      headers: { "content-encoding": "gzip" },
      body: Bun.gzipSync(JSON.stringify(body)),
    });
    expect(reply.status).toBe(415);
    expect(((await reply.json()) as Json).error.message).toContain("gzip");
  });

  test("repeats a client's request id, and makes one where it is none", async () => {
    const own = await post(`${server.url}/completion`, body, { "x-request-id": "abc-1" });
    expect(own.headers.get("x-request-id")).toBe("abc-1");
    const made = await post(`${server.url}/completion`, body, { "x-request-id": "a b" });
    expect(made.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("answers pipelined requests in their order", async () => {
    const first = `GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    const last = `GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
    const text = await raw(server, first + last);
    expect(text.indexOf("200 OK")).toBeGreaterThanOrEqual(0);
    expect(text.indexOf("404 Not Found")).toBeGreaterThan(text.indexOf("200 OK"));
  });

  test("refuses an HTTP/2 probe with a 400, closes, and goes on", async () => {
    const text = await raw(server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0");
    expect(text).toStartWith("HTTP/1.1 400");
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });

  test("metrics are off unless asked for", async () => {
    const reply = await fetch(`${server.url}/metrics`);
    expect(reply.status).toBe(501);
  });

  test("describes all its routes in a valid OpenAPI document", async () => {
    const document: Json = await (await fetch(`${server.url}/openapi.json`)).json();
    const result = await new Validator().validate(structuredClone(document));
    expect(result.errors).toBeUndefined();
    expect(result.valid).toBe(true);
    const routes = allRoutes((await createRegistry()).samplers);
    for (const { method, paths } of routes) {
      for (const path of paths) {
        const described = document.paths[path.replace(/:(\w+)/g, "{$1}")];
        expect(described[method.toLowerCase()].summary.length).toBeGreaterThan(3);
      }
    }
    const { schema } = document.paths["/completion"].post.requestBody.content["application/json"];
    expect(schema.properties.temperature.default).toBe(0.8);
    expect(schema.required).toEqual(["prompt"]);
  });

  test("every path of the document exists", async () => {
    const document: Json = await (await fetch(`${server.url}/openapi.json`)).json();
    for (const [path, operations] of Object.entries<Json>(document.paths)) {
      for (const method of Object.keys(operations)) {
        const url = server.url + path.replace(/\{\w+\}/, "tern");
        const reply = await fetch(url, {
          method: method.toUpperCase(),
          body: method === "post" ? "{}" : undefined,
        });
        expect([path, reply.status]).not.toEqual([path, 405]);
        if (reply.status === 404) expect(await reply.text()).not.toContain("There is no");
      }
    }
  });
});

describe("a server with keys, origins and metrics", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await testServer({
      apiKeys: ["first", "second"],
      corsOrigins: [page],
      metrics: true,
      slots: false,
      strictModelNames: true,
    });
  });
  afterAll(() => server.stop());
  const key = { authorization: "Bearer second" };

  test("asks for a key, as Bearer or X-Api-Key, except for its health and models", async () => {
    const url = `${server.url}/completion`;
    for (const headers of [{}, { authorization: "Bearer wrong" }, { "x-api-key": "firs" }]) {
      const reply = await post(url, body, headers as Record<string, string>);
      expect(reply.status).toBe(401);
      expect(reply.json.error.type).toBe("authentication_error");
    }
    expect((await post(url, body, key)).status).toBe(200);
    expect((await post(url, body, { "x-api-key": "first" })).status).toBe(200);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
    expect((await fetch(`${server.url}/v1/models`)).status).toBe(200);
  });

  test("lets pages of its origins call", async () => {
    const reply = await post(`${server.url}/completion`, body, { ...key, origin: page });
    expect(reply.status).toBe(200);
    expect(reply.headers.get("access-control-allow-origin")).toBe(page);
    const preflight = await fetch(`${server.url}/completion`, {
      method: "OPTIONS",
      headers: { origin: page, "access-control-request-method": "POST" },
    });
    expect(preflight.status).toBe(200);
    expect(preflight.headers.get("access-control-allow-methods")).toContain("POST");
  });

  test("answers to its model's name only, when told to", async () => {
    const named = (model: string) => post(`${server.url}/completion`, { ...body, model }, key);
    expect((await named("tern")).status).toBe(200);
    const other = await named("gpt-4");
    expect(other.status).toBe(404);
    expect(other.json.error).toMatchObject({ type: "not_found_error", param: "model" });
  });

  test("counts what it does", async () => {
    await post(`${server.url}/completion`, { ...body, n_predict: 5 }, key);
    const reply = await fetch(`${server.url}/metrics`, { headers: key });
    expect(reply.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
    const text = await reply.text();
    const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
    const stats = await server.state.slots[0]!.model.client.stats();
    expect(value("llamacpp:tokens_predicted_total")).toBe(stats.generatedTokens);
    expect(value("llamacpp:requests_processing")).toBe(0);
    expect(
      value('wrinklefree_time_to_first_token_seconds_count\\{model="tern"\\}'),
    ).toBeGreaterThan(0);
    expect(value('wrinklefree_requests_total\\{model="tern",reason="limit"\\}')).toBeGreaterThan(0);
    for (const line of text.split("\n").filter((line) => line !== "")) {
      expect(line).toMatch(/^(# (HELP|TYPE) \S+ .+|[a-zA-Z_:][\w:]*(\{[^}]*\})? \S+)$/);
    }
  });

  test("keeps the cached prefixes of its callers apart, as it has several keys", async () => {
    const prompt = "The secret of the first caller is a long sentence. ".repeat(4);
    const cached = async (headers: Record<string, string>): Promise<number> =>
      (await post(`${server.url}/completion`, { prompt, n_predict: 1 }, headers)).json.timings
        .cache_n;
    expect(await cached({ "x-api-key": "first" })).toBeLessThan(5);
    expect(await cached(key)).toBeLessThan(5);
    expect(await cached({ "x-api-key": "first" })).toBeGreaterThan(20);
    expect(await cached({ authorization: "Bearer first" })).toBeGreaterThan(20);
  });

  test("has no slots when they are off", async () => {
    const reply = await fetch(`${server.url}/slots`, { headers: key });
    expect(reply.status).toBe(501);
  });
});

test("callers with different keys share cached prefixes where they are told to", async () => {
  const server = await testServer({ apiKeys: ["a", "b"], isolateCache: false });
  try {
    const prompt = "Everybody begins with these very words. ".repeat(4);
    const cached = async (key: string, more: object = {}): Promise<number> => {
      const request = { prompt, n_predict: 1, ...more };
      return (await post(`${server.url}/completion`, request, { "x-api-key": key })).json.timings
        .cache_n;
    };
    expect(await cached("a", { cache_prompt: false })).toBe(0);
    expect(await cached("a")).toBe(0);
    expect(await cached("b")).toBeGreaterThan(20);
    expect(await cached("b", { cache_salt: "mine" })).toBeLessThan(5);
  } finally {
    await server.stop();
  }
});

test("listens on a Unix socket", async () => {
  const folder = await mkdtemp(join(tmpdir(), "wf-"));
  const socket = join(folder, "server.sock");
  const server = await testServer({ socket, host: "localhost" });
  try {
    const reply = await fetch("http://localhost/health", { unix: socket });
    expect(await reply.json()).toEqual({ status: "ok" });
  } finally {
    await server.stop();
    await rm(folder, { recursive: true });
  }
});

test("speaks TLS with its key and certificate", async () => {
  const [key, cert] = await Promise.all(
    ["key", "cert"].map((name) => readFile(`test/server/tls/${name}.pem`, "utf8")),
  );
  const server = await testServer({ tls: { key: key!, cert: cert! } });
  try {
    expect(server.url).toStartWith("https://");
    const reply = await fetch(`${server.url}/health`, { tls: { ca: cert } });
    expect(await reply.json()).toEqual({ status: "ok" });
  } finally {
    await server.stop();
  }
});

test("a port that is taken is one clear error", async () => {
  const server = await testServer();
  try {
    const port = Number(new URL(server.url).port);
    const failed = await testServer({ port }).then(
      () => undefined,
      (error: Error) => error,
    );
    expect(failed?.message).toContain(`cannot listen on 127.0.0.1:${port}`);
  } finally {
    await server.stop();
  }
});

function json(): string {
  const text = JSON.stringify(body);
  return `Connection: close\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
}

/** Sends bytes and returns all that comes back until the server closes, or nothing comes. */
function raw(server: RunningServer, text: string): Promise<string> {
  const { port } = new URL(server.url);
  return new Promise((resolve) => {
    let received = "";
    const socket = connect(Number(port), "127.0.0.1", () => socket.write(text));
    socket.setTimeout(2000, () => socket.destroy());
    socket.on("data", (data) => {
      received += data;
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(received));
  });
}
