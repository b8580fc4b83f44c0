// A third party's sampler: its option is validated, defaulted, documented and used by every route.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { createRegistry } from "../../apps/plugins.ts";
import type { RunningServer } from "../../apps/server/serve.ts";
import { contextLength, type Json, modelPath, post, testServer } from "./support.ts";

const plugins = [resolve("test/server/sampler-plugin.ts")];
let server: RunningServer;

beforeAll(async () => {
  server = await testServer({
    registry: await createRegistry(plugins),
    models: [{ model: modelPath, contextLength, threads: 1, plugins }],
  });
});
afterAll(() => server.stop());

const body = { prompt: "Once", n_predict: 3, return_tokens: true };

test("the option is used", async () => {
  const forced = await post(`${server.url}/completion`, { ...body, always_token: 490 });
  expect(forced.json.tokens).toEqual([490, 490, 490]);
  const chat = await post(`${server.url}/v1/chat/completions`, {
    messages: [{ role: "user", content: "Hi" }],
    max_tokens: 2,
    always_token: 490,
  });
  const { tokens } = (
    await post(`${server.url}/tokenize`, { content: chat.json.choices[0].message.content })
  ).json;
  expect(tokens).toEqual([490, 490]);
});

test("the option has its default, and is shown", async () => {
  const plain = await post(`${server.url}/completion`, body);
  expect(plain.json.generation_settings.always_token).toBe(-1);
  const props: Json = await (await fetch(`${server.url}/props`)).json();
  expect(props.default_generation_settings.params.always_token).toBe(-1);
});

test("the option is checked", async () => {
  for (const always_token of ["x", -2, 1.5]) {
    const reply = await post(`${server.url}/completion`, { ...body, always_token });
    expect(reply.status).toBe(400);
    expect(reply.json.error.param).toBe("always_token");
  }
});

test("the option is documented", async () => {
  const document: Json = await (await fetch(`${server.url}/openapi.json`)).json();
  for (const path of ["/completion", "/v1/completions", "/v1/chat/completions", "/v1/messages"]) {
    const { schema } = document.paths[path].post.requestBody.content["application/json"];
    expect(schema.properties.always_token.description).toContain("only token");
  }
});
