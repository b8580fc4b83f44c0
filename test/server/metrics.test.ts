// What watches the server: probes, metrics under several engines' names, and requests that are refused.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { RunningServer } from "../../apps/server/serve.ts";
import { type Json, modelPath, post, testServer } from "./support.ts";

let server: RunningServer;
beforeAll(async () => {
  server = await testServer({ metrics: true, metricAliases: ["vllm", "sglang"] });
});
afterAll(() => server.stop());

/** Every sample of /metrics by its name with labels. */
async function metrics(): Promise<Map<string, number>> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  // OpenMetrics parsers refuse other counters, and then the whole text.
  for (const [, name] of text.matchAll(/^# TYPE (\S+) counter$/gm))
    expect(name).toEndWith("_total");
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const samples = lines.map((line) => /^(\S+(?:\{.*\})?) (\S+)$/.exec(line)!);
  expect(new Set(samples.map((match) => match[1])).size).toBe(samples.length);
  return new Map(samples.map((match) => [match[1]!, Number(match[2])]));
}

describe("metrics", () => {
  test("count under llama.cpp's, vLLM's and SGLang's names alike", async () => {
    const url = `${server.url}/completion`;
    const body = { prompt: "Once upon a time, there was", temperature: 0 };
    await post(url, { ...body, n_predict: 5 });
    const again = await post(url, { ...body, n_predict: 5 });
    await post(url, { ...body, n_predict: 40, stop: [again.json.content.slice(2, 8)] });
    const all = await metrics();
    const vllm = '{model_name="tern",engine="0"}';
    const sglang = '{model_name="tern"}';
    const same = (name: string, ...others: string[]) => {
      const value = all.get(name);
      expect([name, typeof value]).toEqual([name, "number"]);
      for (const other of others) expect([other, all.get(other)]).toEqual([other, value!]);
      return value!;
    };
    const generated = same(
      "llamacpp:tokens_predicted_total",
      `vllm:generation_tokens_total${vllm}`,
      `sglang:generation_tokens_total${sglang}`,
    );
    expect(generated).toBeGreaterThan(10);
    const cached = same(
      "llamacpp:prompt_tokens_cached_total",
      `vllm:prefix_cache_hits_total${vllm}`,
      `sglang:cached_tokens_total${sglang}`,
    );
    expect(cached).toBe(2 * (again.json.tokens_evaluated - 1));
    const prompts = same(
      "wrinklefree_prefix_queries_total",
      `vllm:prompt_tokens_total${vllm}`,
      `sglang:prompt_tokens_total${sglang}`,
    );
    expect(prompts).toBe(3 * again.json.tokens_evaluated);
    expect(all.get("llamacpp:n_tokens_max")).toBe(again.json.tokens_evaluated + 5);
    for (const [name, other] of [
      ["time_to_first_token_seconds", "time_to_first_token_seconds"],
      ["request_seconds", "e2e_request_latency_seconds"],
      ["prefill_seconds", "request_prefill_time_seconds"],
    ]) {
      const count = same(
        `wrinklefree_${name}_count{model="tern"}`,
        `vllm:${other}_count{model_name="tern",engine="0"}`,
      );
      expect(count).toBe(3);
    }
    const bucket = 'sglang:e2e_request_latency_seconds_bucket{model_name="tern",le="+Inf"}';
    expect(all.get(bucket)).toBe(3);
    const success = (reason: string): string =>
      `vllm:request_success_total{model_name="tern",engine="0",finished_reason="${reason}"}`;
    expect([all.get(success("length")), all.get(success("stop"))]).toEqual([2, 1]);
  });
});

describe("probes", () => {
  test("live and ready are 200 without a key", async () => {
    const own = await testServer({ apiKeys: ["k"] });
    try {
      for (const path of ["/health", "/health/live", "/health/ready", "/v1/health"]) {
        const reply = await fetch(own.url + path);
        expect([path, reply.status]).toEqual([path, 200]);
        expect(await reply.json()).toEqual({ status: "ok" });
      }
    } finally {
      await own.stop();
    }
  });

  test("ready is 503 while requests wait, live stays 200", async () => {
    const own = await testServer({
      parallel: 1,
      models: [{ model: modelPath, contextLength: 512, threads: 1, maxSequences: 1 }],
    });
    const abort = new AbortController();
    try {
      const body = JSON.stringify({ prompt: "Once", ignore_eos: true, n_predict: 500, n: 3 });
      const { signal } = abort;
      const busy = fetch(`${own.url}/completion`, { method: "POST", body, signal });
      busy.catch(() => {});
      const client = own.state.slots[0]!.model.client;
      while ((await client.stats()).queued < 1) await Bun.sleep(1);
      const ready = await fetch(`${own.url}/health/ready`);
      expect([ready.status, ready.headers.get("retry-after")]).toEqual([503, "1"]);
      expect((await fetch(`${own.url}/health/live`)).status).toBe(200);
    } finally {
      abort.abort();
      await own.stop();
    }
  });
});

test("properties cannot be changed: 501 in llama.cpp's words", async () => {
  const { status, json } = await post(`${server.url}/props`, {});
  expect([status, json.error.type]).toEqual([501, "not_supported_error"]);
});

test("what SGLang's clients may ask and is not here is refused, not ignored", async () => {
  for (const [field, body] of [
    ["stop_regex", { sampling_params: { stop_regex: "a+" } }],
    ["structural_tag", { sampling_params: { structural_tag: "{}" } }],
    ["token_ids_logprob", { token_ids_logprob: [1] }],
    ["input_embeds", { input_embeds: [[0.5]] }],
  ] as const) {
    const { status, json } = await post(`${server.url}/generate`, { text: "a", ...body });
    expect([field, status, json.error.param]).toEqual([field, 400, field]);
  }
});

test("a lazy grammar holds from its trigger word on", async () => {
  const first = await post(`${server.url}/completion`, {
    prompt: "Once upon a time",
    temperature: 0,
    n_predict: 30,
  });
  const word: string = / (\w{3,}) /.exec(first.json.content)![1]!;
  const body = {
    prompt: "Once upon a time",
    temperature: 0,
    n_predict: 60,
    grammar: `root ::= "${word}" " 123456 " "done"`,
    grammar_lazy: true,
    grammar_triggers: [{ type: "word", value: word }],
  };
  const { json }: Json = await post(`${server.url}/completion`, body);
  const before = first.json.content.slice(0, first.json.content.indexOf(word));
  expect(json.content).toBe(`${before}${word} 123456 done`);
  expect(json.stop_type).toBe("eos");
  for (const [wrong, param] of [
    [{ grammar_triggers: [] }, "grammar_triggers"],
    [{ grammar_triggers: [{ type: 2, value: "a.*" }] }, "grammar_triggers[0].type"],
    [{ grammar_triggers: "x" }, "grammar_triggers"],
  ] as const) {
    const refused = await post(`${server.url}/completion`, { ...body, ...wrong });
    expect([refused.status, refused.json.error.param]).toEqual([400, param]);
  }
});
