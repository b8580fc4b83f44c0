// Greedy tokens of node-llama-cpp: node llama-greedy.mjs FOLDER MODEL STEPS [OPTIONS] < [[ids]...] > [[ids]...]
// OPTIONS (JSON): gpu (a backend's name; prints null where it finds no device), flash, batch.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, modelPath, steps, options = "{}"] = process.argv.slice(2);
const { gpu = false, flash, batch } = JSON.parse(options);
const { resolve } = createRequire(join(folder, "package.json"));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(resolve("node-llama-cpp")));
const quiet = { progressLogs: false, logLevel: LlamaLogLevel.error };
const place = { gpu, build: "never", maxThreads: 2, ...quiet };
const llama = await getLlama(place).catch((error) => {
  if (!gpu) throw error;
});
if (llama === undefined || (gpu && (await llama.getGpuDeviceNames()).length === 0)) {
  process.stdout.write("null");
  process.exit(0);
}
const ignoreMemorySafetyChecks = gpu !== false;
const gpuLayers = gpu ? "max" : 0;
const model = await llama.loadModel({ modelPath, gpuLayers, ignoreMemorySafetyChecks });
const context = await model.createContext({
  contextSize: 512,
  sequences: 1,
  ignoreMemorySafetyChecks,
  ...(flash !== undefined && { flashAttention: flash }),
  ...(batch !== undefined && { batchSize: batch }),
});
const sequence = context.getSequence();
const answers = [];
for (const ids of JSON.parse(readFileSync(0, "utf8"))) {
  await sequence.clearHistory();
  const answer = [];
  for await (const id of sequence.evaluate(ids, { temperature: 0 })) {
    answer.push(id);
    if (answer.length === Number(steps)) break;
  }
  answers.push(answer);
}
process.stdout.write(JSON.stringify(answers));
process.exit(0);
