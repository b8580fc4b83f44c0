// The TypeScript client in Bun, in Node and in a browser: one suite of cases for all.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Client, ClientError } from "../../apps/client/typescript/index.ts";
import type { RunningServer } from "../../apps/server/serve.ts";
import { idle, testServer } from "../server/support.ts";
import { must, root } from "../support/stranger.ts";
import { hasBrowser, openBrowser } from "../web/support.ts";
import { type Outcome, runCases } from "./run-cases.ts";
import { behaviourSuite, cases, nowhere } from "./suite.ts";

behaviourSuite("TypeScript client in Bun", (proxy) => runCases(cases, proxy, nowhere));

/** The runner as one script for another runtime. */
async function bundle(target: "node" | "browser", tail: string): Promise<string> {
  const source = join(import.meta.dir, "run-cases.ts");
  const entry = join(root, `.cache/run-cases-${target}.ts`);
  await Bun.write(entry, `import { runCases } from ${JSON.stringify(source)};\n${tail}\n`);
  const { outputs } = await Bun.build({ entrypoints: [entry], target });
  return outputs[0]!.text();
}

behaviourSuite("TypeScript client in Node", async (proxy) => {
  const script = join(root, ".cache/run-cases.mjs");
  const values = [cases, proxy, nowhere].map((value) => JSON.stringify(value)).join(", ");
  const tail = `console.log(JSON.stringify(await runCases(${values})));`;
  await Bun.write(script, await bundle("node", tail));
  return JSON.parse(await must(["node", script], root)) as Outcome[];
});

if (hasBrowser) {
  const tail = "Object.assign(globalThis, { runCases });";
  const files = new Map([
    ["/", '<!doctype html><title>client</title><script type="module" src="/run.js"></script>'],
    ["/run.js", await bundle("browser", tail)],
  ]);
  behaviourSuite(
    "TypeScript client in a browser",
    async (proxy) => {
      const browser = await openBrowser();
      const page = await browser.newPage();
      await page.goto(proxy);
      await page.waitForFunction("globalThis.runCases !== undefined");
      const script = `runCases(${JSON.stringify(cases)}, ${JSON.stringify(proxy)}, "${nowhere}")`;
      const outcomes = (await page.evaluate(script)) as Outcome[];
      await browser.close();
      return outcomes;
    },
    files,
  );
}

describe("cancellation", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await testServer();
  });
  afterAll(() => server.stop());

  const endless = { extra: { ignore_eos: true } };
  const reasonOf = (run: Promise<unknown>): Promise<unknown> =>
    run.then(
      () => "no error",
      (reason) => reason,
    );

  test("an aborted call rejects with the signal's reason, and the server stops", async () => {
    const client = new Client({ url: server.url });
    const abort = new AbortController();
    const run = reasonOf(client.generate("x", { ...endless, signal: abort.signal }));
    await Bun.sleep(30);
    abort.abort("enough");
    expect(await run).toBe("enough");
    await idle(server);
    expect(await reasonOf(client.generate("x", { signal: abort.signal }))).toBe("enough");
  });

  test("so does an aborted stream, in the loop", async () => {
    const abort = new AbortController();
    const stream = new Client({ url: server.url }).stream("x", {
      ...endless,
      signal: abort.signal,
    });
    let pieces = 0;
    const loop = async (): Promise<void> => {
      for await (const piece of stream) if (piece && ++pieces === 3) abort.abort("enough");
    };
    expect(await reasonOf(loop())).toBe("enough");
    expect(stream.answer).toBeUndefined();
    await idle(server);
  });

  test("and a wait between two tries", async () => {
    const abort = new AbortController();
    const client = new Client({ url: nowhere, retryDelay: 60_000, retries: 5 });
    const run = reasonOf(client.tokenize("x", { signal: abort.signal }));
    await Bun.sleep(50);
    abort.abort("enough");
    expect(await run).toBe("enough");
  });
});

test("waitUntilReady ends with an error that says what is wrong", async () => {
  const error = await new Client({ url: nowhere }).waitUntilReady({ timeout: 1 }).catch((e) => e);
  expect(error).toBeInstanceOf(ClientError);
  expect(error.message).toBe("http://127.0.0.1:9 is unreachable after 1 ms");
});

test("an address that is none is refused at once", () => {
  expect(() => Client.fromUrl("ftp://x")).toThrow("not the address of a server: ftp://x");
  expect(() => Client.fromUrl("http://")).toThrow("not the address");
  expect(Client.fromUrl("localhost:8080/").url).toBe("http://localhost:8080");
  expect(Client.fromUrl("https://:key@host/base/v1").url).toBe("https://host/base");
});
