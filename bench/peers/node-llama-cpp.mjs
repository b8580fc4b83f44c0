// The node-llama-cpp side of the comparison: loads a file, answers timing commands on stdin as JSON lines.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, modelPath, threads, contextSize] = process.argv.slice(2);
const { resolve } = createRequire(join(folder, "package.json"));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(resolve("node-llama-cpp")));

const llama = await getLlama({
  gpu: false,
  build: "never",
  maxThreads: Number(threads),
  progressLogs: false,
  logLevel: LlamaLogLevel.error,
});
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: Number(contextSize),
  batchSize: 512,
  sequences: 1,
  threads: { ideal: Number(threads), min: Number(threads) },
});
const sequence = context.getSequence();
/** The same ids as ours; the vocabulary is larger than any of them. */
const idsOf = (count) => Array.from({ length: count }, (_, i) => (i * 7919 + 13) % 100_000);
const options = { temperature: 0, yieldEogToken: true };

/** Milliseconds from sending `count` tokens to the next one, greedily chosen. */
async function prefill(count) {
  await sequence.clearHistory();
  const start = performance.now();
  const tokens = sequence.evaluate(idsOf(count), options);
  await tokens.next();
  const ms = performance.now() - start;
  await tokens.return?.();
  return ms;
}

/** Milliseconds of `steps` greedy tokens after `depth` positions. */
async function decode(depth, steps) {
  await sequence.clearHistory();
  const tokens = sequence.evaluate(idsOf(Math.max(1, depth)), options);
  await tokens.next();
  const start = performance.now();
  for (let i = 0; i < steps; i++) await tokens.next();
  const ms = performance.now() - start;
  await tokens.return?.();
  return ms;
}

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
say({ ready: true, about: { llamaCpp: llama.llamaCppRelease, math: llama.cpuMathCores } });
for await (const line of createInterface({ input: process.stdin })) {
  const { test, tokens, depth, steps } = JSON.parse(line);
  const ms = test === "prefill" ? await prefill(tokens) : await decode(depth, steps);
  say({ ms });
}
process.exit(0);
