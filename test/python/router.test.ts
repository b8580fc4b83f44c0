// SGLang's router in front of two servers: it learns what they serve, and every worker route passes through.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import OpenAI from "openai";
import type { RunningServer } from "../../apps/server/serve.ts";
import { events, type Json, post, testServer } from "../server/support.ts";
import { pythonWith } from "../support/python.ts";
import { router } from "./packages.ts";

const python = pythonWith("router", router);
const headers = { "content-type": "application/json" };
const greedy = { max_new_tokens: 6, temperature: 0 };

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

if (python !== undefined) {
  describe("behind SGLang's router", () => {
    let workers: RunningServer[];
    let child: ReturnType<typeof Bun.spawn>;
    let url: string;

    beforeAll(async () => {
      workers = await Promise.all([testServer({ metrics: true }), testServer({ metrics: true })]);
      const [port, metrics] = [await freePort(), await freePort()];
      const flags = `--host 127.0.0.1 --port ${port} --prometheus-port ${metrics}`;
      const rest = "--policy round_robin --log-level error --worker-urls";
      const urls = workers.map((worker) => worker.url);
      child = Bun.spawn(
        [python, "-m", "sglang_router.launch_router", ...`${flags} ${rest}`.split(" "), ...urls],
        { stdout: "ignore", stderr: "ignore" },
      );
      url = `http://127.0.0.1:${port}`;
      while ((await healthy()) < 2) {
        if (child.exitCode !== null) throw new Error(`the router ended with ${child.exitCode}`);
        await Bun.sleep(50);
      }
    });
    afterAll(async () => {
      child.kill("SIGKILL");
      await child.exited;
      for (const worker of workers) await worker.stop();
    });

    const get = async (path: string): Promise<Json> => (await fetch(url + path)).json();
    const healthy = () =>
      get("/workers").then(
        ({ workers = [] }) => workers.filter((w: Json) => w.is_healthy).length as number,
        () => 0,
      );

    test("it knows both workers and their model", async () => {
      const { workers: list } = await get("/workers");
      expect(list.map((worker: Json) => worker.url).sort()).toEqual(
        workers.map((worker) => worker.url).sort(),
      );
      for (const worker of list) expect(worker.model_id).toBe("tern");
      const models = await get("/v1/models");
      expect(models.data.map((model: Json) => model.id)).toContain("tern");
      expect((await get("/get_model_info")).model_path).toContain("tern");
    });

    test("/generate passes: text, ids, logprobs, streams; both workers answer alike", async () => {
      const body = { text: "Once upon a time", sampling_params: greedy };
      const direct = await post(`${workers[0]!.url}/generate`, body);
      for (let i = 0; i < 4; i++) {
        const { json } = await post(`${url}/generate`, body, headers);
        expect(json.output_ids).toEqual(direct.json.output_ids);
      }
      for (const worker of workers) {
        const stats = await worker.state.slots[0]!.model.client.stats();
        expect(stats.generatedTokens).toBeGreaterThan(0);
      }
      const scored = await post(
        `${url}/generate`,
        {
          input_ids: [4080, 100, 200],
          sampling_params: greedy,
          return_logprob: true,
          logprob_start_len: 0,
          top_logprobs_num: 2,
        },
        headers,
      );
      const { meta_info } = scored.json;
      expect(meta_info.input_token_logprobs.map((entry: Json) => entry[1])).toEqual([
        4080, 100, 200,
      ]);
      expect(meta_info.output_top_logprobs[0]).toHaveLength(2);
      const reply = await fetch(`${url}/generate`, {
        method: "POST",
        headers,
        body: JSON.stringify({ ...body, stream: true }),
      });
      const parts = (await reply.text()).split("\n\n").filter((part) => part.startsWith("data: {"));
      expect(JSON.parse(parts.at(-1)!.slice(6)).text).toBe(direct.json.text);
    });

    test("OpenAI's client works through it, streaming and not", async () => {
      const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
      const request = {
        model: "tern",
        messages: [{ role: "user" as const, content: "Hi" }],
        max_tokens: 8,
        temperature: 0,
      };
      const whole = await openai.chat.completions.create(request);
      let text = "";
      for await (const { choices } of await openai.chat.completions.create({
        ...request,
        stream: true,
      })) {
        text += choices[0]?.delta.content ?? "";
      }
      expect(text).toBe(whole.choices[0]!.message.content!);
      const vectors = await openai.embeddings.create({ model: "tern", input: "Hi" });
      expect(vectors.data[0]!.embedding.length).toBeGreaterThan(8);
      const completion = await openai.completions.create({
        model: "tern",
        prompt: "Once",
        max_tokens: 2,
      });
      expect(completion.usage!.completion_tokens).toBe(2);
    });

    test("a worker's refusal comes back as it is", async () => {
      const body = { model: "tern", prompt: "word ".repeat(900), max_tokens: 1 };
      const { status, json } = await post(`${url}/v1/completions`, body, headers);
      expect(status).toBe(400);
      expect(json.error.message).toContain("context size");
    });

    test("caches are flushed, loads and metrics are read", async () => {
      const flushed = await post(`${url}/flush_cache`, {}, headers);
      expect(flushed.json).toMatchObject({ workers_flushed: 2, status: "success" });
      const metrics = await (await fetch(`${url}/engine_metrics`)).text();
      expect(metrics).toContain("tokens_predicted_total");
      const loads = await fetch(`${url}/get_loads`);
      expect(loads.status).toBe(200);
    });

    test("the HTTP/2 probe that it began with harmed nobody", async () => {
      for (const worker of workers) {
        const list = await events(`${worker.url}/completion`, {
          prompt: "Once",
          n_predict: 2,
          stream: true,
        });
        expect(list.at(-1).stop).toBe(true);
      }
    });
  });
}
