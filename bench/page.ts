// Times `npm start` as a person meets it: until the server answers, the page is there, a first token shows.
//   bun bench/page.ts [runs, default 3]     needs Chromium (or CHROMIUM=path)
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { median } from "../apps/bench/measure.ts";
import { hasBrowser, openBrowser, send } from "../test/web/support.ts";

const runs = Number(process.argv[2] ?? 3);
const marks = ["listening", "page ready", "first token"] as const;
const waitMs = 120_000;

if (!hasBrowser) process.exit(1);
const times: Record<(typeof marks)[number], number[]> = {
  listening: [],
  "page ready": [],
  "first token": [],
};
for (let run = 0; run < runs; run++) await once();
for (const mark of marks) {
  const all = times[mark];
  const spread = `${Math.min(...all).toFixed(2)}-${Math.max(...all).toFixed(2)}`;
  console.log(`${mark.padEnd(12)} ${median(all).toFixed(2)} s after npm start (${spread})`);
}

async function once(): Promise<void> {
  const port = await freePort();
  // The browser is a person's own and runs already.
  const browser = await openBrowser();
  const page = await browser.newPage();
  const start = performance.now();
  const mark = (name: (typeof marks)[number]): void => {
    times[name].push((performance.now() - start) / 1000);
  };
  const server = spawn("npm", ["start", "--silent", "--", "--port", String(port)], {
    detached: true,
    stdio: "ignore",
  });
  try {
    const url = `http://127.0.0.1:${port}/`;
    while (!(await answers(url))) {
      if (performance.now() > start + waitMs) throw new Error(`${url} does not answer`);
      await Bun.sleep(5);
    }
    mark("listening");
    await page.goto(url);
    await page.locator(".dot.ready").waitFor({ timeout: waitMs });
    mark("page ready");
    await send(page, "Tell me a story about the sea.");
    await page.waitForFunction(
      () => (document.querySelector(".assistant .markdown")?.textContent ?? "").length > 0,
    );
    mark("first token");
  } finally {
    // npm does not pass signals on: its whole group is ended.
    if (server.pid !== undefined) process.kill(-server.pid, "SIGTERM");
    await browser.close();
  }
}

function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
