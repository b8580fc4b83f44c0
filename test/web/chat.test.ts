// The chat page in a real browser, with the built-in model behind it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page, Request } from "playwright-core";
import type { RunningServer } from "../../apps/server/serve.ts";
import {
  answered,
  hasBrowser,
  openBrowser,
  openPage,
  realServer,
  send,
  shown,
  textOf,
} from "./support.ts";

const isChat = (request: Request): boolean => request.url().endsWith("/v1/chat/completions");

async function sentBody(page: Page, act: () => Promise<void>): Promise<Record<string, unknown>> {
  const [request] = await Promise.all([page.waitForRequest(isChat), act()]);
  return request.postDataJSON() as Record<string, unknown>;
}

const fact = (page: Page, name: string): Promise<string> =>
  textOf(page.locator(".facts > div").filter({ hasText: name }).locator("dd"));

if (hasBrowser) {
  describe("chat page", () => {
    let server: RunningServer;
    let browser: Browser;
    beforeAll(async () => {
      [server, browser] = await Promise.all([realServer(), openBrowser()]);
    });
    afterAll(async () => {
      await browser.close();
      await server.stop();
    });

    test("says what the built-in model is and how to get a real one", async () => {
      const { page, trouble, close } = await openPage(browser, server.url);
      expect(await shown(page, "h1")).toContain("very small model");
      expect(await shown(page, ".command code")).toContain("wrinklefree serve -m bitnet-2b");
      await page.locator(".suggestion").first().click();
      await answered(page);
      expect(await shown(page, ".assistant .markdown")).toMatch(/\w+ \w+/);
      expect(trouble).toEqual([]);
      await close();
    });

    test("shows speed, time to first token and use of the context", async () => {
      const { page, close } = await openPage(browser, server.url);
      await send(page, "Tell me a story about the sea.");
      await answered(page);
      const stats = await shown(page, ".stats");
      expect(stats).toMatch(/Speed\s+[\d.,]+ tokens\/s/);
      expect(stats).toMatch(/First token\s+[\d.]+ m?s/);
      expect(stats).toMatch(/Context\s+\d+ of 4,096/);
      console.log(`web: ${stats.replaceAll(/\s+/g, " ")}`);
      await close();
    });

    test("counts the tokens that the cache had", async () => {
      const { page, close } = await openPage(browser, server.url);
      await send(page, "Tell me a story about a fox.");
      await answered(page);
      await send(page, "Tell me another story.");
      await answered(page);
      const cached = await shown(page, ".stats");
      expect(Number(/Cached\s+(\d+) of/.exec(cached)?.[1])).toBeGreaterThan(10);
      await close();
    });

    test("stops, keeps what came, continues, and finds it after a reload", async () => {
      const { page, close } = await openPage(browser, server.url);
      await page.evaluate(() => {
        const options = { ignore_eos: true, seed: 3 };
        localStorage.setItem("wrinklefree.settings", JSON.stringify({ sampling: options }));
      });
      await page.reload();
      await page.locator(".dot.ready").waitFor();
      await send(page, "Tell me a long story.");
      await page.locator(".assistant .markdown p").first().waitFor();
      await page.keyboard.press("Escape");
      await page.getByText("Stopped.").waitFor();
      const text = await shown(page, ".assistant .markdown");
      expect(text.length).toBeGreaterThan(0);
      await page.waitForFunction(async () => {
        const open = indexedDB.open("wrinklefree");
        await new Promise((resolve) => {
          open.onsuccess = resolve;
        });
        const store = open.result.transaction("conversations").objectStore("conversations");
        const all = store.getAll();
        await new Promise((resolve) => {
          all.onsuccess = resolve;
        });
        return all.result[0]?.turns[1]?.answers[0]?.finish === "stopped";
      });
      await page.reload();
      await page.locator(".assistant .markdown").waitFor();
      expect(await shown(page, ".assistant .markdown")).toBe(text);
      expect(await shown(page, ".entry .title")).toBe("Tell me a long story.");
      const button = page.getByRole("button", { name: "Continue" });
      await page.locator(".dot.ready").waitFor();
      const body = await sentBody(page, () => button.click());
      expect(body.continue_final_message).toBe(true);
      expect((body.messages as { role: string }[]).at(-1)?.role).toBe("assistant");
      await page.getByRole("button", { name: "Stop" }).click();
      await answered(page);
      expect((await shown(page, ".assistant .markdown")).startsWith(text)).toBe(true);
      await close();
    });

    test("sends changed sampling options, and only those", async () => {
      const { page, close } = await openPage(browser, server.url);
      const before = await sentBody(page, () => send(page, "Tell me a story."));
      expect(before).not.toHaveProperty("top_k");
      await answered(page);
      await page.getByRole("button", { name: "Settings", exact: true }).click();
      for (const [label, value] of [
        ["Top-k", "7"],
        ["Temperature", "0.5"],
        ["Max tokens", "3"],
        ["Seed", "42"],
      ] as const) {
        await page.getByLabel(label, { exact: true }).fill(value);
        await page.keyboard.press("Tab");
      }
      await page.locator(".sampler summary").filter({ hasText: "dry" }).click();
      await page.getByLabel("dry_multiplier").fill("0.25");
      await page.keyboard.press("Tab");
      await page.getByLabel("System prompt", { exact: true }).fill("Be brief.");
      await page.keyboard.press("Tab");
      const body = await sentBody(page, () => send(page, "Another."));
      expect(body).toMatchObject({
        top_k: 7,
        temperature: 0.5,
        max_tokens: 3,
        seed: 42,
        dry_multiplier: 0.25,
      });
      expect(body).not.toHaveProperty("top_p");
      expect((body.messages as unknown[])[0]).toEqual({ role: "system", content: "Be brief." });
      await page.getByText("Cut at the token limit.").waitFor();
      await page.getByRole("button", { name: "Reset top_k" }).click();
      const after = await sentBody(page, () => send(page, "One more."));
      expect(after).not.toHaveProperty("top_k");
      await close();
    });

    test("every option of every loaded sampler is there", async () => {
      const { page, close } = await openPage(browser, server.url);
      await page.getByRole("button", { name: "Settings", exact: true }).click();
      const shown = await page.locator(".option label").allTextContents();
      const standard = ["Temperature", "Top-k", "Top-p", "Min-p", "Max tokens", "Seed"];
      const usual = ["temperature", "top_k", "top_p", "min_p"];
      const options = server.state.samplers.flatMap((s) => Object.keys(s.options.properties));
      const rest = options.filter((name) => !usual.includes(name));
      expect(shown).toEqual(expect.arrayContaining([...standard, ...new Set(rest)]));
      await close();
    });

    test("tells what the model is", async () => {
      const { page, close } = await openPage(browser, server.url);
      await page.getByRole("button", { name: "Settings", exact: true }).click();
      expect(await fact(page, "Architecture")).toBe("bitnet-b1.58");
      expect(await fact(page, "Quantization")).toBe("i2_s");
      expect(await fact(page, "Layers")).toBe("4");
      expect(await fact(page, "Hidden size")).toBe("256");
      expect(await fact(page, "Heads")).toBe("4, 2 for keys");
      expect(await fact(page, "Vocabulary")).toBe("4,096");
      expect(await fact(page, "Context")).toBe("4,096, trained on 1,024");
      expect(await fact(page, "File size")).toBe("2.91 MB");
      expect(await fact(page, "Experts")).toBe("none, dense");
      await close();
    });

    test("regenerates beside the first answer, edits and resends, and takes it back", async () => {
      const { page, close } = await openPage(browser, server.url);
      await send(page, "Tell me a story.");
      await answered(page);
      const first = await shown(page, ".assistant .markdown");
      await page.getByRole("button", { name: "Regenerate" }).click();
      await answered(page);
      await page.getByText("2 of 2").waitFor();
      await page.getByRole("button", { name: "Earlier answer" }).click();
      expect(await shown(page, ".assistant .markdown")).toBe(first);
      await send(page, "And then?");
      await answered(page);
      await page.getByRole("button", { name: "Edit and resend" }).first().click();
      await page.getByLabel("Edit message").fill("Tell me about a bird.");
      const body = await sentBody(page, () => page.keyboard.press("Enter"));
      expect(body.messages).toEqual([{ role: "user", content: "Tell me about a bird." }]);
      await answered(page);
      expect(await page.locator(".turn").count()).toBe(2);
      await page.getByRole("button", { name: "Undo" }).click();
      expect(await page.locator(".turn").count()).toBe(4);
      expect(await textOf(page.locator(".said").first())).toBe("Tell me a story.");
      await close();
    });

    test("keeps several conversations; exports, deletes and imports them", async () => {
      const { page, close } = await openPage(browser, server.url);
      for (const text of ["First talk.", "Second talk."]) {
        await page.getByRole("button", { name: "New conversation" }).click();
        await send(page, text);
        await answered(page);
      }
      expect(await page.locator(".entry .title").allTextContents()).toEqual([
        "Second talk.",
        "First talk.",
      ]);
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: "Export all" }).click(),
      ]);
      const path = await download.path();
      const file = JSON.parse(await Bun.file(path).text());
      expect(file.format).toBe("wrinklefree-conversations");
      await page.locator(".entry").first().hover();
      await page.getByRole("button", { name: "Delete Second talk." }).click();
      expect(await page.locator(".entry").count()).toBe(1);
      await page.getByLabel("File to import").setInputFiles(path);
      await page.getByText("Imported 2 conversations.").waitFor();
      expect(await page.locator(".entry").count()).toBe(3);
      await page.getByLabel("File to import").setInputFiles({
        name: "other.json",
        mimeType: "application/json",
        buffer: Buffer.from('{"format":"wrinklefree-conversations","conversations":[{"turns":7}]}'),
      });
      await page.getByText("could not be imported").waitFor();
      expect(await page.locator(".entry").count()).toBe(3);
      await close();
    });

    test("shows each token's probability on hover and by the arrow keys", async () => {
      const { page, close } = await openPage(browser, server.url);
      await page.getByRole("button", { name: "Settings", exact: true }).click();
      await page.getByLabel("Token probabilities").check();
      const body = await sentBody(page, () => send(page, "Tell me a story."));
      expect(body).toMatchObject({ logprobs: true, top_logprobs: 5 });
      await answered(page);
      const text = await shown(page, ".token-text");
      await page.locator(".token").nth(2).hover();
      expect(await page.locator(".token-detail li").count()).toBeGreaterThanOrEqual(5);
      expect(await shown(page, ".token-detail")).toMatch(/[\d.]+ %/);
      await page.locator(".token-text").press("ArrowRight");
      const chosen = await page.locator(".token.chosen").getAttribute("data-token");
      expect(chosen).toBe("3");
      await page.getByRole("button", { name: "Show token probabilities" }).click();
      const plain = await shown(page, ".assistant .markdown");
      expect(text.trim().slice(0, 20)).toBe(plain.slice(0, 20));
      await close();
    });

    test("shows the server's own words when it refuses", async () => {
      const { page, close } = await openPage(browser, server.url);
      await send(page, "word ".repeat(6000));
      const alert = page.locator(".turn [role=alert]");
      expect(await textOf(alert)).toMatch(/context/i);
      await page.getByRole("button", { name: "Try again" }).waitFor();
      await close();
    });

    test("asks for the key of a server that has one", async () => {
      const guarded = await realServer(["secret"]);
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(guarded.url);
      await page.getByLabel("API key").first().fill("secret");
      await page.getByRole("button", { name: "Connect" }).click();
      await page.locator(".dot.ready").waitFor();
      const [request] = await Promise.all([
        page.waitForRequest(isChat),
        send(page, "Tell me a story."),
      ]);
      expect(request.headers().authorization).toBe("Bearer secret");
      await answered(page);
      await context.close();
      await guarded.stop();
    });
  });
}
