// The dense model against golden outputs of an independent reference (transformers, float32).
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Runtime } from "../../core/engine/runtime.ts";
import { createTokenizer } from "../../core/index.ts";
import {
  argmax,
  cosine,
  evaluate,
  floatsOfBase64,
  golden,
  openFixture,
} from "../support/runtime.ts";

interface GoldenPrompt {
  readonly name: string;
  readonly ids: number[];
  readonly logits_last: string;
  readonly top5: [number, number][];
  readonly prompt_logprobs: number[];
  readonly greedy_ids: number[];
  readonly greedy_top2_gaps: number[];
}

interface GoldenPerplexity {
  readonly windows: readonly { tokens: number; nll: number }[];
  readonly perplexity: number;
}

/** Smallest cosine of logits that int8 rounding flips explain (one moves a layer by about 1e-2). */
const minimumCosine = 0.9995;

function checkPrompts(runtime: () => Runtime, prompts: readonly GoldenPrompt[]): void {
  for (const prompt of prompts) {
    const reference = floatsOfBase64(prompt.logits_last);
    const logits = evaluate(runtime(), prompt.ids, "last")[0]!;
    expect({ name: prompt.name, cosine: cosine(logits, reference) >= minimumCosine }).toEqual({
      name: prompt.name,
      cosine: true,
    });
    const [first, second] = prompt.top5;
    if (first![1] - second![1] > 0.25) expect(argmax(logits)).toBe(first![0]);
  }
}

function checkGreedy(runtime: () => Runtime, prompts: readonly GoldenPrompt[]): void {
  for (const prompt of prompts) {
    const tokens = [...prompt.ids];
    for (const [i, expected] of prompt.greedy_ids.entries()) {
      if (prompt.greedy_top2_gaps[i]! < 0.1) break;
      const logits = evaluate(runtime(), tokens, "last")[0]!;
      expect({ name: prompt.name, i, token: argmax(logits) }).toEqual({
        name: prompt.name,
        i,
        token: expected,
      });
      tokens.push(expected);
    }
  }
}

for (const [file, checkpoint] of [
  ["dense-packed", "tern/hf-packed"],
  ["dense-online", "tern/hf-bf16"],
] as const) {
  describe(checkpoint, () => {
    let runtime: Runtime;
    let prompts: readonly GoldenPrompt[];
    beforeAll(async () => {
      runtime = await openFixture(checkpoint);
      prompts = (await golden<{ prompts: GoldenPrompt[] }>(`tern/${file}.json`)).prompts;
    });
    afterAll(() => runtime[Symbol.dispose]());

    test("logits of 14 prompts", () => checkPrompts(() => runtime, prompts));
    test("greedy continuations", () => checkGreedy(() => runtime, prompts));
  });
}

describe("perplexity", () => {
  for (const part of ["synthetic", "alice", "austen"]) {
    test(`of ${part} within 0.2 %`, async () => {
      using runtime = await openFixture("tern/hf-packed");
      const tokenizer = createTokenizer(runtime.model.tokenizer!);
      const { packed } = await golden<{ packed: Record<string, GoldenPerplexity> }>(
        "tern/perplexity.json",
      );
      const reference = packed[part]!;
      const url = new URL(`../golden/tern/heldout-${part}.txt`, import.meta.url);
      const ids = tokenizer.encode(await Bun.file(url).text(), { parseSpecial: false });
      let nll = 0;
      let count = 0;
      // Windows of 511 tokens, each after BOS, as the reference cut them.
      for (const [w, window] of reference.windows.entries()) {
        const tokens = [4080, ...ids.slice(w * 511, (w + 1) * 511)];
        expect(tokens.length - 1).toBe(window.tokens);
        const rows = evaluate(runtime, tokens);
        for (let i = 1; i < tokens.length; i++) nll -= logSoftmax(rows[i - 1]!, tokens[i]!);
        count += window.tokens;
      }
      expect(Math.abs(Math.exp(nll / count) / reference.perplexity - 1)).toBeLessThan(0.002);
    }, 60_000);
  }
});

function logSoftmax(logits: Float32Array, token: number): number {
  let max = -Infinity;
  for (const value of logits) max = Math.max(max, value);
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - max);
  return logits[token]! - max - Math.log(sum);
}
