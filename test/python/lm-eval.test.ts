// lm-eval unchanged on its local-completions and local-chat-completions: exact against the full softmax.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { RunningServer } from "../../apps/server/serve.ts";
import type { Runtime } from "../../core/engine/runtime.ts";
import { modelPath, post, testServer } from "../server/support.ts";
import { pythonWith } from "../support/python.ts";
import { argmax, evaluate, openFixture } from "../support/runtime.ts";
import { must, root } from "../support/stranger.ts";
import { clients } from "./packages.ts";

const python = pythonWith("server", clients);

interface Sample {
  readonly task: string;
  // biome-ignore lint/suspicious/noExplicitAny: each task has arguments of its own
  readonly arguments: any[];
  // biome-ignore lint/suspicious/noExplicitAny: and responses
  readonly responses: any[];
}

interface Report {
  readonly results: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly samples: readonly Sample[];
}

let server: RunningServer;
let runtime: Runtime;

async function harness(...args: string[]): Promise<Report> {
  const offline = { HF_HUB_OFFLINE: "1", HF_DATASETS_OFFLINE: "1" };
  const script = [python!, "test/python/lm_eval_run.py", server.url, ...args];
  const out = await must(script, root, offline);
  return JSON.parse(out.trim().split("\n").at(-1)!) as Report;
}

async function tokens(prompt: string): Promise<number[]> {
  const body = { prompt, add_special_tokens: false };
  return (await post(`${server.url}/tokenize`, body)).json.tokens;
}

/** Sum of the log-softmax of the tokens from `start` on, in float64, and whether all are likeliest. */
function score(ids: readonly number[], start: number): [number, boolean] {
  const rows = evaluate(runtime, ids.slice(0, -1));
  let sum = 0;
  let greedy = true;
  for (let i = start; i < ids.length; i++) {
    const logits = rows[i - 1]!;
    const most = logits.reduce((a, b) => Math.max(a, b));
    const total = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
    sum += logits[ids[i]!]! - most - Math.log(total);
    greedy &&= argmax(logits) === ids[i];
  }
  return [sum, greedy];
}

const of = (report: Report, task: string): Sample[] =>
  report.samples.filter((sample) => sample.task === task);

if (python !== undefined) {
  beforeAll(async () => {
    server = await testServer();
    runtime = await openFixture(`${root}/${modelPath}`);
  });
  afterAll(async () => {
    runtime[Symbol.dispose]();
    await server.stop();
  });

  test("local-completions: loglikelihoods, rolling ones and texts", async () => {
    const names = ["tern_choice", "tern_rolling", "tern_generate"];
    const report = await harness("local-completions", ...names);
    const choices = of(report, "tern_choice");
    expect(choices).toHaveLength(6);
    let right = 0;
    for (const sample of choices) {
      const scores: number[] = [];
      for (const [i, [context, continuation]] of sample.arguments.entries()) {
        const ids = await tokens(context + continuation);
        const [sum, greedy] = score(ids, (await tokens(context)).length);
        const [[measured, isGreedy]] = sample.responses[i];
        expect(measured).toBeCloseTo(sum, 9);
        expect(isGreedy).toBe(greedy);
        scores.push(sum);
      }
      const best = scores.indexOf(Math.max(...scores));
      if (best === (sample === choices[5] ? 1 : 0)) right++;
    }
    expect(report.results.tern_choice?.["acc,none"]).toBeCloseTo(right / 6, 12);
    const rolling = of(report, "tern_rolling");
    expect(rolling).toHaveLength(3);
    const [bos] = await tokens("<|begin_of_text|>");
    for (const {
      arguments: [[text]],
      responses: [[measured]],
    } of rolling) {
      const [sum] = score([bos!, ...(await tokens(text))], 1);
      expect(measured).toBeCloseTo(sum, 9);
    }
    const noBos = (prompt: string) => ({ prompt, add_special_tokens: false });
    await generated(of(report, "tern_generate"), noBos, "/v1/completions");
  });

  test("local-chat-completions: texts", async () => {
    const report = await harness("local-chat-completions", "tern_generate");
    const body = (json: string[]) => ({ messages: JSON.parse(json[0]!) });
    await generated(of(report, "tern_generate"), body, "/v1/chat/completions");
  });
}

/** Each text is what the route gives when it is asked by hand. */
async function generated(
  samples: readonly Sample[],
  body: (argument: never) => object,
  path: string,
): Promise<void> {
  expect(samples).toHaveLength(3);
  for (const {
    arguments: [[given]],
    responses: [[text]],
  } of samples) {
    const own = { ...body(given as never), temperature: 0, max_tokens: 16, stop: ["\n", "."] };
    const { json } = await post(server.url + path, own);
    expect(text).toBe(json.choices[0].text ?? json.choices[0].message.content);
  }
}
