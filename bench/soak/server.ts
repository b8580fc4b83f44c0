// The server of a soak: a process of its own, its memory and file descriptors by /proc.
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { freePort } from "../../test/support/process.ts";

const main = resolve(import.meta.dir, "../../apps/cli/main.ts");

export interface Process extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
}

/** Resident bytes and open file descriptors of a process. Linux only. */
export function usage(pid: number): { residentBytes: number; descriptors: number } {
  const kib = /^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  const descriptors = readdirSync(`/proc/${pid}/fd`).length;
  return { residentBytes: 1024 * Number(kib), descriptors };
}

/** So small that it is full soon: resident memory grows until every page was used once. */
const kvMemory = "64M";

/** Starts `wrinklefree serve` with metrics on a free port. Rejects when it ends before it is ready. */
export async function startServer(flags: readonly string[]): Promise<Process> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const own = ["--port", String(port), "--metrics", "--log-level", "warn"];
  const kv = flags.includes("--kv-memory") ? [] : ["--kv-memory", kvMemory];
  const child = Bun.spawn([process.execPath, main, "serve", ...own, ...kv, ...flags], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const healthy = (): Promise<boolean> => fetch(`${url}/health`).then(({ ok }) => ok);
  while (!(await healthy().catch(() => false))) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    await Bun.sleep(50);
  }
  return {
    url,
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

/** Share of KV pages in use once cached prefixes are forgotten: 0 when nothing was lost. */
export async function pagesInUse(url: string): Promise<number> {
  const flushed = await fetch(`${url}/flush_cache`, { method: "POST" });
  if (!flushed.ok) throw new Error(`the cache is not flushed: ${await flushed.text()}`);
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(
    /^wrinklefree_kv_usage_ratio(?:\{.*\})? ([\d.e+-]+)$/m.exec(text)?.[1] ?? Number.NaN,
  );
}
