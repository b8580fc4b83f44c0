// Is everything free again after many requests, and soon after clients went away?
import type { Check, Context, Verdict } from "../check.ts";

/** Waits until the server says that nothing runs; milliseconds, or undefined past the limit. */
async function idleAfter({ target }: Context, limitMs: number): Promise<number | undefined> {
  const started = performance.now();
  for (;;) {
    const { busy } = await target.load();
    const waited = performance.now() - started;
    if (busy === 0) return waited;
    if (waited > limitMs) return undefined;
    await Bun.sleep(50);
  }
}

/** Latency of a short request, the smallest of three. */
async function shortLatency({ target, prompts }: Context): Promise<number> {
  const times: number[] = [];
  for (const prompt of prompts.openings(3)) {
    times.push((await target.complete(prompt, { maxTokens: 4 })).ms);
  }
  return Math.min(...times);
}

export const cancellation: Check = {
  name: "cancellation",
  title: "an abandoned answer stops",
  async run(context): Promise<Verdict> {
    const { target, prompts, thresholds, progress } = context;
    const before = await shortLatency(context);
    progress("hanging up on 5 streams");
    const opened = await Promise.all(prompts.openings(5).map((p) => target.abandon(p, 2000)));
    const started = opened.filter(Boolean).length;
    const figures = { abandoned: started };
    if (started === 0) {
      return { passed: false, reason: "no stream could be opened", figures };
    }
    if ((await target.load()).busy === undefined) {
      const after = await shortLatency(context);
      const passed = after < before * 3 + 100;
      const reason = `the server counts no requests; judged by time: ${Math.round(after)} ms after, ${Math.round(before)} ms before`;
      return { passed, reason, figures };
    }
    const idle = await idleAfter(context, thresholds.cancelMs);
    if (idle === undefined) {
      const reason = `after ${thresholds.cancelMs} ms requests still run that nobody waits for`;
      return { passed: false, reason, figures };
    }
    const reason = `nothing ran any more ${Math.round(idle)} ms after ${started} streams were left`;
    return { passed: true, reason, figures: { ...figures, idle_ms: Math.round(idle) } };
  },
};

export const leaks: Check = {
  name: "leaks",
  title: "cache pages and requests are given back",
  async run(context): Promise<Verdict> {
    const { target, prompts, thresholds, progress } = context;
    await shortLatency(context);
    await idleAfter(context, thresholds.cancelMs);
    const before = await target.load();
    const list = prompts.openings(thresholds.cycles);
    let failed = 0;
    for (const [i, prompt] of list.entries()) {
      progress(`cycle ${i + 1} of ${list.length}`);
      const leave = i % 4 === 3;
      if (leave) await target.abandon(prompt, 200);
      else if ((await target.complete(prompt, { maxTokens: 4 })).status !== 200) failed++;
    }
    await idleAfter(context, thresholds.cancelMs);
    const after = await target.load();
    const figures = {
      cycles: list.length,
      failed,
      kv_usage_before: before.kvUsage ?? null,
      kv_usage_after: after.kvUsage ?? null,
      busy_after: after.busy ?? null,
    };
    if (failed > 0) {
      return { passed: false, reason: `${failed} of ${list.length} requests failed`, figures };
    }
    if ((after.busy ?? 0) > (before.busy ?? 0)) {
      return { passed: false, reason: `${after.busy} requests are still held`, figures };
    }
    if (before.kvUsage === undefined || after.kvUsage === undefined) {
      const reason = `${list.length} cycles went through; the server does not tell its cache's use`;
      return { passed: true, reason, figures };
    }
    const passed = after.kvUsage <= before.kvUsage + 1e-3;
    const percent = (value: number) => `${(value * 100).toFixed(1)} %`;
    const seen = `KV cache in use: ${percent(before.kvUsage)} before, ${percent(after.kvUsage)} after ${list.length} cycles`;
    return { passed, reason: passed ? seen : `${seen}: pages leak`, figures };
  },
};
