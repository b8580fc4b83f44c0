// lm-eval from PyPI against the server: likelihoods as the reference's, accuracy as our own, comparison.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compare, evaluate, harnessPython } from "../../apps/eval/run.ts";
import { taskGroups } from "../../apps/eval/tasks.ts";
import type { Runtime } from "../../core/engine/runtime.ts";
import { createTokenizer } from "../../core/index.ts";
import { testServer } from "../server/support.ts";
import { pythonOr } from "../support/python.ts";
import { golden, evaluate as logitsOf, openFixture } from "../support/runtime.ts";
import { root, run } from "../support/stranger.ts";

const cache = join(root, ".cache", "python");
const python = pythonOr("lm-eval", () => harnessPython(join(cache, "wrinklefree", "lm-eval")));

interface Choice {
  readonly context: string;
  readonly choices: readonly string[];
  readonly answer: number;
}

interface GoldenPrompt {
  readonly name: string;
  readonly text: string;
  readonly ids: readonly number[];
  readonly prompt_logprobs: readonly number[];
}

const lines = <T>(name: string): T[] =>
  readFileSync(join(root, "apps/eval/tasks/smoke", name), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as T);

/** Log-probability (float64) of token `id` in a row of logits. */
function logprob(row: Float32Array, id: number): number {
  const most = row.reduce((a, b) => Math.max(a, b));
  const sum = row.reduce((total, x) => total + Math.exp(x - most), 0);
  return row[id]! - most - Math.log(sum);
}

/** Sum over the tokens from `start`, without server or harness. */
function ownLikelihood(runtime: Runtime, ids: readonly number[], start: number): number {
  const rows = logitsOf(runtime, ids);
  return ids.slice(start).reduce((sum, id, i) => sum + logprob(rows[start + i - 1]!, id), 0);
}

describe.skipIf(python === undefined)("lm-eval", async () => {
  if (python === undefined) return;
  // The harness keeps converted data there.
  process.env.HF_HOME ??= join(root, ".cache", "huggingface");
  const output = mkdtempSync(join(tmpdir(), "wf-eval-"));
  const server = await testServer({ apiKeys: ["sesame"] });
  const runtime = await openFixture("gguf/tern-i2_s.gguf");
  const tokenizer = createTokenizer(runtime.model.tokenizer!);
  afterAll(async () => {
    runtime[Symbol.dispose]();
    await server.stop();
    rmSync(output, { recursive: true });
  });
  const common = { tasks: ["smoke"], apiKey: "sesame", concurrency: 8 };
  const first = await evaluate({ ...common, url: `${server.url}/v1/`, output }, { python });
  const samplesOf = (task: string) => first.outcome.samples.filter((s) => s.task === task);

  test("loglikelihoods equal those of the reference on the same tokens", async () => {
    const { prompts } = await golden<{ prompts: GoldenPrompt[] }>("tern/dense-packed.json");
    const samples = samplesOf("smoke_text");
    expect(samples.length).toBe(8);
    let [perToken, own] = [0, 0];
    for (const { requests, logprobs } of samples) {
      const reference = prompts.find(({ text }) => text === requests[0]![0])!;
      expect(logprobs.length).toBe(1);
      const sum = reference.prompt_logprobs.reduce((a, b) => a + b, 0);
      const tokens = reference.prompt_logprobs.length;
      perToken = Math.max(perToken, Math.abs(logprobs[0]! - sum) / tokens);
      own = Math.max(own, Math.abs(logprobs[0]! - ownLikelihood(runtime, reference.ids, 1)));
    }
    console.log(
      `loglikelihood: at most ${perToken.toExponential(2)} nats a token from transformers' float32, ` +
        `${own.toExponential(2)} a text from our own logits in float64`,
    );
    // int8 rounding flips move logits by up to 0.1 (test/fixtures/README.md); sums of many less.
    expect(perToken).toBeLessThan(0.02);
    expect(own).toBeLessThan(1e-3);
  });

  test("accuracy on the file of choices equals our own computation", () => {
    const rows = lines<Choice>("choice.jsonl");
    const samples = samplesOf("smoke_choice");
    expect(samples.length).toBe(rows.length);
    let right = 0;
    for (const [i, { context, choices, answer }] of rows.entries()) {
      const start = tokenizer.encode(context).length;
      const own = choices.map((choice) => {
        const ids = tokenizer.encode(`${context} ${choice}`);
        return ownLikelihood(runtime, ids, start);
      });
      const sample = samples.find(({ id }) => id === i)!;
      for (const [j, value] of own.entries()) expect(sample.logprobs[j]!).toBeCloseTo(value, 3);
      if (own.indexOf(Math.max(...own)) === answer) right++;
    }
    const accuracy = first.results.find(({ name }) => name === "acc")!;
    expect(accuracy.value).toBeCloseTo(right / rows.length, 12);
    expect(accuracy.value).toBeGreaterThan(0.75);
    expect(accuracy.interval![0]).toBeLessThan(accuracy.value);
    expect(accuracy.interval![1]).toBeGreaterThan(accuracy.value);
  });

  test("the key is in no file that is kept", () => {
    const files = readdirSync(output, { recursive: true, encoding: "utf8" });
    const texts = files.filter((name) => /\.json/.test(name)).map((n) => join(output, n));
    expect(texts.length).toBeGreaterThan(2);
    for (const path of texts) expect(readFileSync(path, "utf8")).not.toContain("sesame");
  });

  test("two quantizations are compared; a server with itself is equal", async () => {
    const models = [
      { model: "test/fixtures/gguf/tern-iq1_bn.gguf", contextLength: 512, threads: 2 },
    ];
    const other = await testServer({ models });
    try {
      const second = await evaluate({ ...common, url: other.url }, { python });
      const { tasks, divergence } = await compare(first, second);
      expect(tasks.map(({ task, count }) => [task, count])).toEqual([
        ["smoke_choice", 36],
        ["smoke_text", 8],
      ]);
      expect(tasks[0]!.agreement).toBeGreaterThan(0.9);
      expect(tasks[0]!.loglikelihood!.largest).toBeGreaterThan(0);
      expect(divergence!.kl_mean).toBeGreaterThan(0);
      expect(divergence!.kl_mean).toBeLessThan(0.01);
      expect(divergence!.other_tokens).toBe(0);
      const same = await compare(first, first);
      expect(same.tasks[0]).toMatchObject({ agreement: 1, loglikelihood: { mean: 0, largest: 0 } });
      expect(same.divergence).toMatchObject({ kl_max: 0, logprob_max_difference: 0 });
      expect(same.divergence!.positions).toBeGreaterThan(500);
    } finally {
      await other.stop();
    }
  }, 300_000);

  test("the command asks as a chat, at INFERENCE_URL, and compares", async () => {
    const command = ["apps/cli/main.ts", "eval", "--chat", "--json", "--compare", server.url];
    const { code, out, error } = await run([process.execPath, ...command], root, {
      INFERENCE_URL: server.url,
      OPENAI_API_KEY: "sesame",
      XDG_CACHE_HOME: cache,
    });
    expect({ code, error }).toEqual({ code: 0, error: "" });
    const { servers, comparison } = JSON.parse(out);
    for (const { results } of servers) {
      expect(results).toMatchObject([{ task: "smoke_chat", name: "exact_match", count: 8 }]);
      expect(results[0].value).toBeGreaterThan(0.5);
    }
    const scores = { exact_match: { difference: 0, interval: [0, 0] } };
    expect(comparison).toEqual({
      tasks: [{ task: "smoke_chat", count: 8, agreement: 1, scores }],
      divergence: null,
    });
  }, 300_000);

  test("bitdistill's tasks are ones that the harness has, and ROUGE is counted", async () => {
    const [group] = taskGroups(["bitdistill"], false, output);
    const { folder, tasks } = group!;
    const site = ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"];
    const packages = (await run([python, ...site], root)).out.trim();
    const glue = join(packages, "lm_eval/tasks/glue");
    const files = [glue, folder].flatMap((path) =>
      readdirSync(path, { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".yaml"))
        .map((name) => readFileSync(join(path, name), "utf8")),
    );
    for (const task of tasks) {
      expect(files.filter((text) => text.split("\n").includes(`task: ${task}`)).length).toBe(1);
    }
    const call = "utils.rouge({'highlights': 'the cat sat on the mat'}, ['a cat sat on a mat'])";
    const print = `import json, utils; print(json.dumps(${call}))`;
    const scored = await run([python, "-c", print], folder, {
      PYTHONDONTWRITEBYTECODE: "1",
    });
    // Four of six words; of five pairs of words "cat sat" and "sat on".
    const { rouge1, rouge2, rougeL } = JSON.parse(scored.out);
    expect(rouge1).toBeCloseTo(4 / 6, 12);
    expect(rouge2).toBeCloseTo(2 / 5, 12);
    expect(rougeL).toBeCloseTo(4 / 6, 12);
  }, 300_000);
});
