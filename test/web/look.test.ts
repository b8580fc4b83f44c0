// How the page looks and reads: axe finds no serious fault, phones scroll one way, pictures are kept.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AxeResults } from "axe-core";
import type { Browser, Page } from "playwright-core";
import type { RunningServer } from "../../apps/server/serve.ts";
import {
  answered,
  hasBrowser,
  openBrowser,
  openPage,
  realServer,
  scriptedServer,
  send,
} from "./support.ts";

const axeSource = readFileSync(
  createRequire(import.meta.url).resolve("axe-core/axe.min.js"),
  "utf8",
);

/** Serious and critical findings, one line each. */
async function faults(page: Page): Promise<string[]> {
  await page.evaluate(axeSource);
  const found = (await page.evaluate("axe.run()")) as AxeResults;
  expect(found.passes.length).toBeGreaterThan(15);
  return found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, help, nodes }) => nodes.map(({ html }) => `${id}: ${help}: ${html}`));
}

const answer = `Rivers begin **small**. They gather, *turn* and slow; the [map](https://example.org/) shows how.

## What to pack

1. A coat
2. Two apples
   - red ones

| Place | Height |
|-------|-------:|
| Mill  | 210 m  |
| Ridge | 1,480 m |

\`\`\`ts
// Sum of the heights, in metres.
const total = [210, 1480].reduce((sum, height) => sum + height, 0);
\`\`\`

> The sea is never far.
`;

async function* script(): AsyncGenerator<string[]> {
  for (const piece of answer.match(/\s*\S+|\s+/g) ?? []) yield [piece];
}

const looks = {
  light: { colorScheme: "light", viewport: { width: 1280, height: 800 } },
  dark: { colorScheme: "dark", viewport: { width: 1280, height: 800 } },
  phone: { colorScheme: "light", viewport: { width: 390, height: 844 }, hasTouch: true },
  "phone-dark": { colorScheme: "dark", viewport: { width: 360, height: 640 }, hasTouch: true },
} as const;

if (hasBrowser) {
  describe("the page's look", () => {
    let real: RunningServer;
    let server: ReturnType<typeof scriptedServer>;
    let browser: Browser;
    const folder = process.env.WF_PICTURES ?? mkdtempSync(join(tmpdir(), "wf-pictures-"));
    beforeAll(async () => {
      [real, browser] = await Promise.all([realServer(), openBrowser()]);
      server = scriptedServer(real, script);
      console.log(`web: pictures of the page are in ${folder}`);
    });
    afterAll(async () => {
      await browser.close();
      await server.stop();
      await real.stop();
    });

    for (const [name, options] of Object.entries(looks)) {
      const narrow = options.viewport.width < 600;

      test(`${name}: start, conversation and settings`, async () => {
        const { page, trouble, close } = await openPage(browser, server.url, options);
        const check = async (view: string): Promise<void> => {
          const path = join(folder, `${name}-${view}.png`);
          // Fades are over after this time, and a picture is of what stays.
          await page.waitForTimeout(250);
          await page.screenshot({ path });
          expect(statSync(path).size).toBeGreaterThan(5_000);
          const wide = await page.evaluate(
            () => document.documentElement.scrollWidth > window.innerWidth,
          );
          expect({ view, wide, faults: await faults(page) }).toEqual({
            view,
            wide: false,
            faults: [],
          });
          expect(await page.locator("h1").count()).toBe(1);
        };
        await check("start");
        await send(page, "What should I know about rivers?");
        await answered(page);
        await check("conversation");
        await page.getByRole("button", { name: "Settings", exact: true }).click();
        await check("settings");
        if (narrow) {
          await page.keyboard.press("Escape");
          await page
            .getByRole("button", { name: /conversations/i })
            .first()
            .click();
          await check("conversations");
        }
        expect(trouble).toEqual([]);
        await close();
      });
    }

    test("the keyboard alone reaches everything, and the focus is seen", async () => {
      const { page, close } = await openPage(browser, server.url);
      await send(page, "What should I know about rivers?");
      await answered(page);
      const seen = new Set<string>();
      await page.locator("body").press("Tab");
      for (let i = 0; i < 60; i++, await page.keyboard.press("Tab")) {
        const focus = await page.evaluate(() => {
          const element = document.activeElement as HTMLElement;
          const style = getComputedStyle(element);
          const name = element.getAttribute("aria-label") ?? element.title ?? "";
          const ring = style.outlineStyle !== "none" || style.boxShadow !== "none";
          return { name: name || (element.textContent ?? "").trim(), ring, tag: element.tagName };
        });
        if (focus.tag === "BODY") continue;
        expect(focus.name).not.toBe("");
        if (focus.tag === "BUTTON") expect(focus).toMatchObject({ ring: true });
        seen.add(focus.name);
      }
      for (const name of ["New conversation", "Settings", "Regenerate", "Copy code"]) {
        expect([...seen].some((found) => found.includes(name))).toBe(true);
      }
      await close();
    });
  });
}
