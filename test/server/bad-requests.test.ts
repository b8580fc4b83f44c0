// Every wrong request is a 4xx with the error object that names its field, and harms nobody.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { RunningServer } from "../../apps/server/serve.ts";
import { badRequests } from "./bad-requests.ts";
import { idle, post, testServer } from "./support.ts";

let server: RunningServer;

beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.stop());

async function good(): Promise<void> {
  const reply = await post(`${server.url}/completion`, { prompt: "Once", n_predict: 1 });
  expect(reply.status).toBe(200);
}

test("there are many", () => {
  expect(badRequests.length).toBeGreaterThan(150);
});

describe("bad requests", () => {
  for (const [i, { path, body, param, status = 400 }] of badRequests.entries()) {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    test(`${i} ${path} ${text.slice(0, 100)}`, async () => {
      const reply = await post(server.url + path, body);
      expect(reply.status).toBe(status);
      const { error } = reply.json;
      expect(Object.keys(reply.json)).toEqual(["error"]);
      expect(typeof error.message).toBe("string");
      expect(error.message.length).toBeGreaterThan(10);
      expect(error.type).toEndWith("_error");
      expect(error.code).toBe(status);
      expect(error.param).toBe(param);
      await good();
    });
  }

  test("leave nothing running", async () => {
    await idle(server);
    const { pagesFree, pagesCached, pagesTotal } =
      await server.state.slots[0]!.model.client.stats();
    expect(pagesFree + pagesCached).toBe(pagesTotal);
  });

  test("a stream fails with the same status as a whole answer", async () => {
    for (const path of ["/completion", "/v1/completions"]) {
      const body = { prompt: Array(600).fill(100), stream: true };
      const { status, json } = await post(server.url + path, body);
      expect(status).toBe(400);
      expect(json.error.type).toBe("exceed_context_size_error");
    }
  });
});
