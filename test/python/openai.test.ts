// OpenAI's Python client unchanged: sync, async, streams, tools, schemas, embeddings, errors.
import { expect, test } from "bun:test";
import { idle, testServer } from "../server/support.ts";
import { pythonWith } from "../support/python.ts";
import { must, root } from "../support/stranger.ts";
import { clients } from "./packages.ts";

const python = pythonWith("server", clients);

if (python !== undefined) {
  test("every check of the OpenAI client holds, and nothing is left running", async () => {
    const server = await testServer();
    try {
      const out = await must([python, "test/python/openai_client.py", server.url], root);
      expect(out.trim().split("\n")).toEqual([
        "models",
        "chat",
        "chat_choices_and_logprobs",
        "chat_stream",
        "chat_stop",
        "tools",
        "tools_stream",
        "schema",
        "completions",
        "embeddings",
        "responses",
        "errors",
        "raw_response",
        "asynchronous",
        "leaving",
      ]);
      await idle(server);
    } finally {
      await server.stop();
    }
  });
}
