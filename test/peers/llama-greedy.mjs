// Greedy tokens of node-llama-cpp: node llama-greedy.mjs FOLDER MODEL STEPS [FLASH] < [[ids]...] > [[ids]...]
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, modelPath, steps, flash] = process.argv.slice(2);
const { resolve } = createRequire(join(folder, "package.json"));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(resolve("node-llama-cpp")));
const quiet = { progressLogs: false, logLevel: LlamaLogLevel.error };
const llama = await getLlama({ gpu: false, build: "never", maxThreads: 2, ...quiet });
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: 512,
  sequences: 1,
  ...(flash && { flashAttention: flash === "on" }),
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
