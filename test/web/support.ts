// What the tests of the chat page share: a real browser, a real server, and one with scripted answers.
import { existsSync } from "node:fs";
import { type Browser, chromium, type Locator, type Page } from "playwright-core";
import { createRegistry } from "../../apps/plugins.ts";
import { builtInModel } from "../../apps/server/built-in.ts";
import { type RunningServer, startServer } from "../../apps/server/serve.ts";

const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const program = process.env.CHROMIUM ?? places.find((path) => existsSync(path));

/** Whether there is a browser; says so once where there is none. */
export const hasBrowser: boolean = program !== undefined;
if (!hasBrowser) console.log("web: no Chromium here, so the page is not driven (set CHROMIUM)");

/** The flags keep Chromium from asking for hosts of its own. */
export async function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: program,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** Serves the built-in model on a free port. */
export async function realServer(apiKeys: string[] = []): Promise<RunningServer> {
  const server = startServer({
    registry: await createRegistry(),
    models: [{ model: builtInModel(), contextLength: 4096, threads: 2, maxSequences: 4 }],
    port: 0,
    apiKeys,
  });
  await server.ready;
  return server;
}

export interface ScriptedServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** The real server, but answers to conversations come from `script`: pieces of text, each an event. */
export function scriptedServer(
  real: RunningServer,
  script: () => AsyncIterable<readonly string[]>,
): ScriptedServer {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch(request) {
      const { pathname, search } = new URL(request.url);
      if (pathname === "/v1/chat/completions") return scripted(script());
      return fetch(`${real.url}${pathname}${search}`, { decompress: false });
    },
  });
  return { url: server.url.href, stop: () => server.stop(true) };
}

function scripted(pieces: AsyncIterable<readonly string[]>): Response {
  const encoder = new TextEncoder();
  let tokens = 0;
  const start = performance.now();
  const event = (delta: object, finish: string | null = null): string => {
    const predicted_ms = performance.now() - start;
    const timings = {
      cache_n: 0,
      prompt_n: 8,
      predicted_n: tokens,
      predicted_per_second: (1000 * tokens) / predicted_ms,
    };
    const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish }];
    const whole = { object: "chat.completion.chunk", model: "scripted", choices, timings };
    return `data: ${JSON.stringify(whole)}\n\n`;
  };
  async function* body(): AsyncGenerator<Uint8Array> {
    yield encoder.encode(event({ role: "assistant", content: null }));
    for await (const burst of pieces) {
      const events = burst.map((content) => {
        tokens++;
        return event({ content });
      });
      yield encoder.encode(events.join(""));
    }
    yield encoder.encode(`${event({}, "stop")}data: [DONE]\n\n`);
  }
  return new Response(body() as unknown as ReadableStream, {
    headers: { "content-type": "text/event-stream; charset=utf-8" },
  });
}

/** A page that collects what must not happen: script errors, refused requests, requests elsewhere. */
export async function openPage(
  browser: Browser,
  url: string,
  options: Parameters<Browser["newPage"]>[0] = {},
): Promise<{ page: Page; trouble: string[]; close(): Promise<void> }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const trouble: string[] = [];
  const { origin } = new URL(url);
  page.on("pageerror", (error) => trouble.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") trouble.push(`console: ${message.text()}`);
  });
  context.on("request", (request) => {
    const address = request.url();
    if (!address.startsWith(origin) && !/^(data|blob):/.test(address)) {
      trouble.push(`request: ${address}`);
    }
  });
  await page.goto(url);
  await page.locator(".dot.ready").waitFor();
  return { page, trouble, close: () => context.close() };
}

/** Writes a message and sends it. */
export async function send(page: Page, text: string): Promise<void> {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

/** Waits until no answer is being received. */
export async function answered(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Send", exact: true }).waitFor();
}

/** The text of an element as it is drawn. */
export const textOf = (element: Locator): Promise<string> =>
  // biome-ignore lint/performance/useDomNodeTextContent: the text that a person sees is what is tested
  element.innerText();

export const shown = (page: Page, selector: string): Promise<string> =>
  textOf(page.locator(selector));
