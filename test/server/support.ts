// A server over a real socket with the real engine and the small fixture model, for the tests of the API.
import { createRegistry } from "../../apps/plugins.ts";
import { type RunningServer, type ServeOptions, startServer } from "../../apps/server/serve.ts";

/** Parsed JSON whose shape the tests state by reading it. */
// biome-ignore lint/suspicious/noExplicitAny: an answer's shape is what is tested
export type Json = any;

export const modelPath = "test/fixtures/gguf/tern-i2_s.gguf";
export const contextLength = 512;

/** Starts a server on a free port and waits until its model is loaded. */
export async function testServer(options: Partial<ServeOptions> = {}): Promise<RunningServer> {
  const server = startServer({
    registry: await createRegistry(),
    models: [{ model: modelPath, aliases: ["tern"], contextLength, threads: 2, maxSequences: 16 }],
    port: 0,
    ...options,
  });
  await server.ready;
  return server;
}

/** Posts JSON, or raw text, and returns the status with the parsed answer. */
export async function post(
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; json: Json; headers: Headers }> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const reply = await fetch(url, { method: "POST", body: text, headers });
  return { status: reply.status, json: await reply.json(), headers: reply.headers };
}

/** The parsed data of every server-sent event of a streamed answer, without `[DONE]`. */
export async function events(url: string, body: object): Promise<Json[]> {
  const reply = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  const text = await reply.text();
  return text
    .split("\n\n")
    .map((part) =>
      part
        .split("\n")
        .find((line) => line.startsWith("data: "))
        ?.slice(6),
    )
    .filter((data) => data !== undefined && data !== "[DONE]")
    .map((data) => JSON.parse(data as string));
}

/** Waits until the engine runs nothing. */
export async function idle(server: RunningServer): Promise<void> {
  const client = server.state.slots[0]!.model.client;
  for (;;) {
    const { running, queued } = await client.stats();
    if (running + queued === 0) return;
    await Bun.sleep(5);
  }
}
