// Where a batch's requests go: a server elsewhere, or the server's app over an engine in this process.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WrinkleFreeError } from "../../core/index.ts";
import { findModelFile } from "../manage/find.ts";
import { createRegistry } from "../plugins.ts";
import { builtInModel } from "../server/built-in.ts";
import { startServer } from "../server/serve.ts";
import type { BatchOptions } from "./options.ts";

export interface Target extends AsyncDisposable {
  /** Answers with a status below 500 other than 429. Throws `unavailable` after many attempts. */
  ask(url: string, body: object): Promise<{ status: number; body: unknown }>;
}

const attempts = 8;

/** Starts the engine unless a URL is given. Throws what loading throws. */
export async function openTarget(options: BatchOptions): Promise<Target> {
  if (options.url !== undefined) {
    const base = options.url.replace(/\/+$/, "").replace(/\/v1$/, "");
    return target(base, { key: options.apiKey }, async () => {});
  }
  const registry = await createRegistry();
  const model = options.model === undefined ? builtInModel() : await findModelFile(options.model);
  // A folder of our own: nobody else reaches the socket in it.
  const folder = mkdtempSync(join(tmpdir(), "wrinklefree-batch-"));
  const unix = join(folder, "batch.sock");
  const { ctxSize: contextLength, threads, parallel: maxSequences } = options;
  const running = startServer({
    registry,
    models: [{ model, contextLength, threads, maxSequences }],
    parallel: 2 * maxSequences,
    socket: unix,
    host: "localhost",
    page: false,
  });
  const close = async (): Promise<void> => {
    await running.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await running.ready;
  } catch (error) {
    await close();
    throw error;
  }
  return target("http://localhost", { unix }, close);
}

function target(
  base: string,
  { key, unix }: { key?: string; unix?: string },
  close: () => Promise<void>,
): Target {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  const once = async (url: string, body: object) => {
    const init = { method: "POST", headers, body: JSON.stringify(body), unix, timeout: false };
    const response = await fetch(`${base}${url}`, init);
    return { status: response.status, body: (await response.json()) as unknown };
  };
  return {
    async ask(url, body) {
      let why = "";
      for (let attempt = 0; attempt < attempts; attempt++) {
        if (attempt > 0) await Bun.sleep(100 * 2 ** attempt * (0.5 + Math.random()));
        try {
          const answer = await once(url, body);
          if (answer.status < 500 && answer.status !== 429) return answer;
          why = `status ${answer.status}: ${JSON.stringify(answer.body).slice(0, 200)}`;
        } catch (error) {
          why = (error as Error).message;
        }
      }
      throw new WrinkleFreeError("unavailable", `${base}${url} does not answer: ${why}`, {
        flag: "--url",
        hint: "What was answered is kept; the same command goes on with the rest.",
      });
    },
    [Symbol.asyncDispose]: close,
  };
}
