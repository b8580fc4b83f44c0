// Prompt lookup on repetitive and on free text: accepted tokens, and time beside no speculation, alternating.
//   bun bench/speculation.ts [FILE, default the built-in model] [threads, default all] [rounds, default 5]

import { words } from "../apps/bench/http/prompts.ts";
import { median } from "../apps/bench/measure.ts";
import { createRegistry } from "../apps/plugins.ts";
import { createChooserFactory } from "../core/engine/choosers.ts";
import { Engine } from "../core/engine/engine.ts";
import { engineOptions } from "../core/engine/worker.ts";
import { createTokenizer, openRuntime } from "../core/index.ts";

const [model = "test/fixtures/gguf/tern-i2_s.gguf", threads, rounds = "5"] = process.argv.slice(2);
const registry = await createRegistry();
const options = { model, contextLength: 1024, maxSequences: 4 };
using runtime = await openRuntime(
  { ...options, ...(threads !== undefined && threads !== "all" && { threads: Number(threads) }) },
  registry,
);
const source = runtime.model.tokenizer;
if (!source) throw new Error(`${model} has no tokenizer`);
const tokenizer = createTokenizer(source);
const sentence = "The red fox ran to the old barn, and the brown dog ran after the red fox. ";
const texts = { repetitive: sentence.repeat(6), free: `Once upon a time ${words(7, 60)}` };
const tokens = 96;

/** One greedy (or sampled) answer: milliseconds of decoding, steps, proposed and accepted tokens. */
function answer(text: string, maxDraft: number, temperature: number) {
  const choosers = createChooserFactory(registry, runtime.model);
  const engine = new Engine(runtime, choosers, engineOptions(runtime, { maxDraft }));
  const prompt = tokenizer.encode(text, { addSpecial: true, parseSpecial: false });
  const request = { prompt, maxTokens: tokens, sampling: { temperature }, seed: 3 };
  engine.add({ id: "0", ...request, endTokens: [], cachePrompt: false });
  for (;;) {
    for (const event of engine.step()) {
      if (event.type === "error") throw new Error(event.message);
      if (event.type === "done") return { ...event.timings, steps: engine.stats.steps };
    }
  }
}

console.log(
  "text        temperature  drafts  accepted / proposed  tokens a step  speed against none",
);
for (const [name, text] of Object.entries(texts)) {
  for (const temperature of [0, 0.8]) {
    for (const maxDraft of [3, 8]) {
      const ratios: number[] = [];
      let last = answer(text, maxDraft, temperature);
      for (let i = 0; i < Number(rounds); i++) {
        const plain = answer(text, 0, temperature);
        last = answer(text, maxDraft, temperature);
        ratios.push(plain.generatedMs / last.generatedMs);
      }
      const { draftAccepted = 0, draftTokens = 0, steps } = last;
      const cells = [
        name.padEnd(11),
        String(temperature).padStart(11),
        String(maxDraft).padStart(7),
        `${draftAccepted} / ${draftTokens}`.padStart(20),
        (tokens / steps).toFixed(2).padStart(14),
        `${median(ratios).toFixed(2)} x (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`,
      ];
      console.log(cells.join(" "));
    }
  }
}
