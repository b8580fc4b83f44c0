// Times the example plugin's format beside i2_s: the same sparse weights, decoded by turns in one process.
//   bun bench/plugin.ts [rounds, default 9]     Four layers of 2B-4T's width; 300 MB in the temporary folder
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "../apps/bench/measure.ts";
import { type Shape, shapeOf } from "../apps/bench/shapes.ts";
import { decode, prefill } from "../apps/bench/steps.ts";
import { syntheticMetadata, syntheticTensors } from "../apps/bench/synthetic.ts";
import { convert } from "../apps/convert/convert.ts";
import { createRegistry } from "../apps/plugins.ts";
import { openRuntime, type Registry } from "../core/index.ts";
import { GgufWriter } from "../plugins/standard.ts";
import { zig, zigEnvironment } from "../scripts/setup.mjs";

const rounds = Number(process.argv[2] ?? 9);
const root = join(import.meta.dir, "..");
const base = join(tmpdir(), "wrinklefree-bench");
const shape: Shape = { ...shapeOf("bitnet-2b-4t"), layers: 4, vocabulary: 2048 };
const prompt = 128;
const steps = 16;

const registry = await createRegistry([join(await builtPlugin(), "index.ts")]);
const [dense, sparse] = ["i2_s", "sherry"].map((format) => join(base, `sparse-${format}.gguf`)) as [
  string,
  string,
];
writeSparse(dense, registry);
await convert({ source: dense, output: sparse, quantize: "sherry" }, registry);

const options = { threads: 2, contextLength: 512, maxSequences: 1, maxRows: prompt };
using i2s = await openRuntime({ ...options, model: dense }, registry);
using sherry = await openRuntime({ ...options, model: sparse }, registry);
for (const [name, run] of [
  ["prefill", (runtime: typeof i2s) => prefill(runtime, prompt)],
  ["decode", (runtime: typeof i2s) => decode(runtime, 0, 1, steps)],
] as const) {
  const time = (runtime: typeof i2s): number => {
    const start = performance.now();
    run(runtime);
    return performance.now() - start;
  };
  const times = Array.from({ length: rounds }, () => [time(i2s), time(sherry)] as const);
  const ratio = median(times.map(([a, b]) => a / b));
  const [a, b] = [0, 1].map((which) => median(times.map((pair) => pair[which] as number)));
  const tokens = name === "prefill" ? prompt : steps;
  const speed = (ms = 0): string => `${((1000 * tokens) / ms).toFixed(1)} tok/s`;
  console.log(
    `${name}: sherry ${speed(b)}, ` +
      `i2_s (${i2s.info.layout}) ${speed(a)}: ${ratio.toFixed(2)} times as fast`,
  );
}

/** The example, its kernels built, where it finds this package as an installed one would. */
async function builtPlugin(): Promise<string> {
  const folder = join(base, "quantizer-plugin");
  rmSync(folder, { recursive: true, force: true });
  cpSync(join(root, "examples/quantizer-plugin"), folder, { recursive: true });
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/wrinklefree"));
  const env = { ...process.env, ...zigEnvironment(), ZIG: zig() };
  const { status } = spawnSync("node", ["build.mjs"], { cwd: folder, env, stdio: "inherit" });
  if (status !== 0) throw new Error("the example's kernels do not build");
  return folder;
}

/** Random weights with one zero in every four, as i2_s. */
function writeSparse(path: string, known: Registry): void {
  const tensors = syntheticTensors(shape);
  const plan = tensors.map(({ name, shape: sizes, format }) => {
    const quantizer = known.quantizer(format);
    const byteLength = quantizer.byteLength(sizes);
    return { name, shape: sizes, type: quantizer.ggufType ?? 0, byteLength };
  });
  const writer = new GgufWriter(path, syntheticMetadata("sparse", shape, 4096), plan);
  for (const { name, shape: sizes, format, value } of tensors) {
    const count = sizes.reduce((product, size) => product * size, 1);
    const quantizer = known.quantizer(format);
    if (!quantizer.ternary?.pack) {
      const values = Float32Array.from({ length: count }, () => value ?? Math.random() - 0.5);
      writer.write(name, quantizer.encode(values, sizes).bytes);
      continue;
    }
    const trits = new Int8Array(count);
    for (let at = 0; at < count; at += 4) {
      const bits = Math.floor(Math.random() * 64);
      for (let i = 0; i < 4; i++) trits[at + i] = (bits >> i) & 1 ? 1 : -1;
      trits[at + (bits >> 4)] = 0;
    }
    writer.write(
      name,
      quantizer.ternary.pack({ trits, scales: Float32Array.of(0.01) }, sizes).bytes,
    );
  }
  writer.complete();
  writer.rename();
}
