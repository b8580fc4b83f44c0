// The engine in its Worker, driven through the client: real model, real threads.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { EngineClient, EngineEvent, GenerateRequest } from "../../core/index.ts";
import { startEngine, WrinkleFreeError } from "../../core/index.ts";
import { fixture, golden } from "../support/runtime.ts";

const worker = new URL("../../apps/worker.ts", import.meta.url);
const greedy = { sampling: { temperature: 0 }, endTokens: [] };

interface GoldenPrompt {
  readonly name: string;
  readonly ids: number[];
  readonly greedy_ids: number[];
}

async function run(
  client: EngineClient,
  request: Omit<GenerateRequest, "id">,
): Promise<{ tokens: number[]; last: EngineEvent | undefined }> {
  const tokens: number[] = [];
  let last: EngineEvent | undefined;
  for await (const event of client.generate(request)) {
    if (event.type === "token") tokens.push(event.token);
    last = event;
  }
  return { tokens, last };
}

describe("engine client", () => {
  let client: EngineClient;
  beforeAll(async () => {
    client = await startEngine({
      worker,
      model: fixture("gguf/tern-i2_s.gguf"),
      contextLength: 512,
      threads: 2,
      maxSequences: 8,
    });
  });
  afterAll(() => client.close());

  test("tells about the model", () => {
    expect(client.info).toMatchObject({
      layers: 4,
      hidden: 256,
      vocabulary: 4096,
      quantization: "i2_s",
      contextLength: 512,
    });
  });

  test("a greedy answer equals the reference's", async () => {
    const { prompts } = await golden<{ prompts: GoldenPrompt[] }>("tern/dense-packed.json");
    const prompt = prompts.find((candidate) => candidate.name === "short")!;
    const { tokens, last } = await run(client, { ...greedy, prompt: prompt.ids, maxTokens: 32 });
    expect(tokens).toEqual(prompt.greedy_ids);
    expect(last).toMatchObject({ type: "done", reason: "length" });
  });

  test("answers side by side equal answers alone", async () => {
    const requests = Array.from({ length: 6 }, (_, i) => ({
      prompt: [4080, 490 + i, 474, 257, 423],
      maxTokens: 20 + i,
      sampling: { temperature: 0.8 },
      seed: 100 + i,
      endTokens: [],
    }));
    const alone: number[][] = [];
    for (const request of requests) alone.push((await run(client, request)).tokens);
    const together = await Promise.all(requests.map((request) => run(client, request)));
    expect(together.map((answer) => answer.tokens)).toEqual(alone);
  });

  test("leaving the loop cancels the request and frees its pages", async () => {
    await client.clearCache();
    const before = await client.stats();
    for await (const event of client.generate({ ...greedy, prompt: [4080, 490], maxTokens: 400 })) {
      if (event.type === "token") break;
    }
    const after = await settled(client);
    expect(after.running).toBe(0);
    expect(after.pagesFree + after.pagesCached).toBe(before.pagesFree);
    expect(after.generatedTokens - before.generatedTokens).toBeLessThan(100);
  });

  test("an abort signal ends the stream with reason cancelled", async () => {
    const controller = new AbortController();
    let reason: string | undefined;
    let tokens = 0;
    const request = { ...greedy, prompt: [4080, 490], maxTokens: 400 };
    for await (const event of client.generate(request, { signal: controller.signal })) {
      if (event.type === "token" && ++tokens === 3) controller.abort();
      if (event.type === "done") reason = event.reason;
    }
    expect(reason).toBe("cancelled");
  });

  test("refusals are typed errors, and the next request works", async () => {
    const long = { ...greedy, prompt: new Array(513).fill(5), maxTokens: 1 };
    const error = await run(client, long).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(WrinkleFreeError);
    expect(error).toMatchObject({
      code: "context_exceeded",
      details: { extra: { n_prompt_tokens: 513, n_ctx: 512 } },
    });
    const wrong = await run(client, { ...greedy, prompt: [99999], maxTokens: 1 }).catch(String);
    expect(wrong).toContain("token 99999 of the prompt is not in the vocabulary of 4096");
    expect((await run(client, { ...greedy, prompt: [4080], maxTokens: 2 })).tokens.length).toBe(2);
  });
});

test("a model that is not there is one clear error", async () => {
  const options = { worker, model: fixture("gguf/absent.gguf") };
  const error = await startEngine(options).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: "not_found" });
});

/** Stats once nothing runs any more. */
async function settled(client: EngineClient) {
  for (;;) {
    const stats = await client.stats();
    if (stats.running + stats.queued === 0) return stats;
    await Bun.sleep(2);
  }
}
