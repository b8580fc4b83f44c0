// SGLang's router and its successor before three servers: affinity, a drained server, a killed one.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import OpenAI from "openai";
import { modelPath } from "../server/support.ts";
import { freePort, healthy, type Program, startProgram } from "../support/process.ts";
import { pythonWith } from "../support/python.ts";

const serve = [process.execPath, "apps/cli/main.ts", "serve", "-m", modelPath, "-a", "tern"];
const streams = 6;

async function worker(): Promise<Program> {
  const port = await freePort();
  // Longer than a router's health check: it hears of the end before requests are refused.
  const flags = `-c 512 -t 1 --parallel 16 --metrics --drain-delay 2 --port ${port}`;
  return startProgram([...serve, ...flags.split(" ")], `http://127.0.0.1:${port}`, healthy);
}

async function router(python: string, module: string, workers: readonly Program[]) {
  const [port, metrics] = [await freePort(), await freePort()];
  const flags = [
    `--host 127.0.0.1 --port ${port} --prometheus-port ${metrics} --policy cache_aware`,
    "--health-check-interval-secs 1 --health-failure-threshold 1 --health-success-threshold 1",
    "--retry-max-retries 12 --retry-initial-backoff-ms 20 --retry-max-backoff-ms 300",
    "--log-level error --worker-urls",
    ...workers.map(({ url }) => url),
  ];
  const command = [python, "-m", `${module}.launch_router`, ...flags.join(" ").split(" ")];
  const ready = async (url: string): Promise<boolean> => {
    const { workers: list } = (await (await fetch(`${url}/workers`)).json()) as {
      workers: { is_healthy: boolean }[];
    };
    return list.filter((one) => one.is_healthy).length === workers.length;
  };
  return startProgram(command, `http://127.0.0.1:${port}`, ready);
}

/** A metric of a server. */
async function metric({ url }: Program, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
}

/** Requests one after the other in `streams` lines until told to stop; half of them are streamed. */
class Load {
  readonly #client: OpenAI;
  readonly #lines: Promise<void>[];
  #stopped = false;
  readonly lost: string[] = [];
  answered = 0;

  constructor(url: string) {
    this.#client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
    this.#lines = Array.from({ length: streams }, (_, i) => this.#line(i));
  }

  async #line(line: number): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const error = await this.#request(`line ${line}, request ${i}: once`, line % 2 === 0);
      if (error === undefined) this.answered++;
      else this.lost.push(error);
    }
  }

  /** What went wrong: an error, or an answer that is not whole. */
  async #request(prompt: string, streamed: boolean): Promise<string | undefined> {
    const body = { model: "tern", prompt, max_tokens: 12, temperature: 0 };
    const more = { ignore_eos: true } as object;
    try {
      if (!streamed) {
        const { usage } = await this.#client.completions.create({ ...body, ...more });
        return usage?.completion_tokens === 12 ? undefined : "a cut answer";
      }
      let reason: string | undefined;
      const events = await this.#client.completions.create({ ...body, ...more, stream: true });
      for await (const { choices } of events) reason = choices[0]?.finish_reason ?? reason;
      return reason === "length" ? undefined : "a cut stream";
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** Waits until `count` more requests are answered. */
  async more(count: number): Promise<void> {
    const goal = this.answered + count;
    while (this.answered < goal) await Bun.sleep(10);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#lines);
  }
}

const routers = [
  ["sglang-router", "sglang_router", pythonWith("router", ["sglang-router==0.3.2"])],
  ["smg", "smg", pythonWith("smg", ["smg==1.13.0"])],
] as const;

for (const [name, module, python] of routers) {
  if (python === undefined) continue;
  describe(`behind ${name}`, () => {
    let workers: Program[] = [];
    let front: Program;
    beforeAll(async () => {
      workers = await Promise.all([worker(), worker(), worker()]);
      front = await router(python, module, workers);
    }, 60_000);
    afterAll(async () => {
      for (const program of [front, ...workers]) await program?.end();
    });

    test("OpenAI's client is answered, streaming and not", async () => {
      const client = new OpenAI({ baseURL: `${front.url}/v1`, apiKey: "none", maxRetries: 0 });
      const body = {
        model: "tern",
        messages: [{ role: "user" as const, content: "Hello!" }],
        max_tokens: 8,
        temperature: 0,
      };
      const whole = (await client.chat.completions.create(body)).choices[0]!.message.content!;
      expect(whole.length).toBeGreaterThan(3);
      let text = "";
      for await (const part of await client.chat.completions.create({ ...body, stream: true })) {
        text += part.choices[0]?.delta.content ?? "";
      }
      expect(text).toBe(whole);
    });

    test("requests of one prefix go where it is cached", async () => {
      const client = new OpenAI({ baseURL: `${front.url}/v1`, apiKey: "none", maxRetries: 0 });
      const [groups, rounds] = [5, 6];
      const prefix = (group: number): string => `Story ${group} of the ${group} bears. `.repeat(25);
      let tokens = 0;
      const before = await totals(workers);
      for (let round = 0; round < rounds; round++) {
        for (let group = 0; group < groups; group++) {
          const prompt = `${prefix(group)}And ${round}`;
          const body = { model: "tern", prompt, max_tokens: 1, temperature: 0 };
          tokens += (await client.completions.create(body)).usage!.prompt_tokens;
        }
      }
      const after = await totals(workers);
      const computed = after.computed - before.computed;
      const cached = after.cached - before.cached;
      expect(computed + cached).toBe(tokens);
      const ratios = await Promise.all(
        workers.map((worker) => metric(worker, "wrinklefree_cache_hit_ratio")),
      );
      const share = cached / tokens;
      console.log(
        `${name}: ${(100 * share).toFixed(0)} % of ${tokens} prompt tokens from caches; ` +
          `hit ratios of the servers: ${ratios.map((ratio) => ratio.toFixed(2)).join(", ")}`,
      );
      // Each prefix computed once would be 5/6 cached; once on every server, 3/6.
      expect(share).toBeGreaterThan(0.7);
    });

    test("of a drained server no request is lost, of a killed one those in it at most", async () => {
      const load = new Load(front.url);
      await load.more(30);
      const first = await busiest(workers);
      const code = await first.end("SIGTERM");
      await load.more(60);
      const drained = [...load.lost];
      await (await busiest(workers.filter((worker) => worker !== first))).end("SIGKILL");
      await load.more(60);
      await load.stop();
      const lost = load.lost.length - drained.length;
      console.log(
        `${name}: ${load.answered} answered; lost when drained ${drained.length}, killed ${lost}`,
      );
      expect({ code, drained }).toEqual({ code: 0, drained: [] });
      expect(lost).toBeLessThanOrEqual(streams);
    }, 60_000);
  });
}

/** The first server seen to run a request; of several at once the one that runs the most. */
async function busiest(workers: readonly Program[]): Promise<Program> {
  for (;;) {
    const running = await Promise.all(
      workers.map((worker) => metric(worker, "llamacpp:requests_processing")),
    );
    const most = Math.max(...running);
    if (most > 0) return workers[running.indexOf(most)]!;
  }
}

async function totals(workers: readonly Program[]): Promise<{ computed: number; cached: number }> {
  const sum = async (name: string): Promise<number> => {
    const values = await Promise.all(workers.map((worker) => metric(worker, name)));
    return values.reduce((a, b) => a + b, 0);
  };
  return {
    computed: await sum("llamacpp:prompt_tokens_total"),
    cached: await sum("llamacpp:prompt_tokens_cached_total"),
  };
}
