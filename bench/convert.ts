// Times `convert` on checkpoints of a real shape, packed and bfloat16 in shards, beside copying their bytes.
//   bun bench/convert.ts [runs, default 3] [shape, default bitnet-2b-4t]     Linux; 8 GB in the temporary folder
import {
  closeSync,
  cpSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "../apps/bench/measure.ts";
import { syntheticPath } from "../apps/bench/model-file.ts";
import { shapeOf } from "../apps/bench/shapes.ts";
import { syntheticTensors } from "../apps/bench/synthetic.ts";
import { checkpointName } from "../apps/convert/checkpoint/names.ts";
import { convert } from "../apps/convert/convert.ts";
import { createRegistry } from "../apps/plugins.ts";

const runs = Number(process.argv[2] ?? 3);
const shapeName = process.argv[3] ?? "bitnet-2b-4t";
const base = join(tmpdir(), "wrinklefree-bench");
const shardBytes = 1 << 30;
const mib = 1 << 20;

const registry = await createRegistry();
const packed = join(base, `${shapeName}-packed`);
if (!existsSync(packed)) {
  const source = syntheticPath(shapeName, registry, { ternary: "i2_s", embedding: "f16" });
  await convert({ source, output: packed, quantize: "hf-packed" }, registry);
}
const masters = join(base, `${shapeName}-bf16`);
if (!existsSync(join(masters, "config.json"))) await writeMasters(masters);

for (const source of [packed, masters]) {
  const times: Record<"convert" | "unverified" | "forward" | "copy", number[]> = {
    convert: [],
    unverified: [],
    forward: [],
    copy: [],
  };
  let peak = 0;
  let processor = Infinity;
  for (let run = 0; run < runs; run++) {
    const whole = await converted(source, "--no-forward");
    times.convert.push(whole.seconds);
    peak = Math.max(peak, whole.peak);
    processor = Math.min(processor, whole.processor);
    times.unverified.push((await converted(source, "--no-verify")).seconds);
    times.forward.push((await converted(source)).seconds);
    times.copy.push(copied(source));
  }
  const [all, unverified, forward, copy] = Object.values(times).map(median) as number[];
  const seconds = (value: number | undefined): string => `${value?.toFixed(1)} s`;
  console.log(
    `${source.slice(base.length + 1)}: ${(sizeOf(source) / mib).toFixed(0)} MiB in ` +
      `${readdirSync(source).filter((name) => name.endsWith(".safetensors")).length} file(s): ` +
      `${seconds(all)} (without verification ${seconds(unverified)}, with a forward pass ` +
      `${seconds(forward)}), copying the bytes ${seconds(copy)}; ` +
      `${seconds(processor)} of processor time, at most ${peak.toFixed(0)} MiB of own memory`,
  );
}

/** Seconds of a conversion in a process of its own, and the MiB of anonymous memory it held at most. */
async function converted(source: string, ...flags: string[]) {
  const output = join(base, "converted.gguf");
  rmSync(output, { force: true });
  const start = performance.now();
  const command = [process.execPath, "apps/cli/main.ts", "convert", source, "-o", output];
  const child = Bun.spawn([...command, "--quiet", ...flags], {
    cwd: join(import.meta.dir, ".."),
    stdio: ["ignore", "ignore", "inherit"],
  });
  let peak = 0;
  while (child.exitCode === null) {
    peak = Math.max(peak, anonymousMib(child.pid));
    await Promise.race([child.exited, Bun.sleep(20)]);
  }
  if (child.exitCode !== 0) throw new Error(`convert ended with ${child.exitCode}`);
  const seconds = (performance.now() - start) / 1000;
  rmSync(output);
  const processor = Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6;
  return { seconds, peak, processor };
}

function anonymousMib(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/RssAnon:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

function copied(source: string): number {
  const target = join(base, "copied");
  const start = performance.now();
  cpSync(source, target, { recursive: true });
  // A conversion is on the disk when it ends.
  for (const name of readdirSync(target)) {
    const handle = openSync(join(target, name), "r");
    fsyncSync(handle);
    closeSync(handle);
  }
  const seconds = (performance.now() - start) / 1000;
  rmSync(target, { recursive: true });
  return seconds;
}

function sizeOf(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

/** Random bfloat16 weights of the shape under Hugging Face's names, in shards with an index. */
async function writeMasters(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const weights: { name: string; shape: readonly number[]; bytes: number }[] = [];
  for (const { name: own, shape } of syntheticTensors(shapeOf(shapeName))) {
    const name = checkpointName(own, 0);
    if (name === undefined) continue;
    const bytes = 2 * shape.reduce((product, size) => product * size, 1);
    weights.push({ name, shape, bytes });
  }
  const shards: (typeof weights)[] = [[]];
  for (const weight of weights) {
    const held = shards.at(-1)!.reduce((sum, { bytes }) => sum + bytes, 0);
    if (held > 0 && held + weight.bytes > shardBytes) shards.push([]);
    shards.at(-1)!.push(weight);
  }
  const files: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const number = (n: number): string => String(n).padStart(5, "0");
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    for (const { name } of shard) files[name] = file;
    await writeShard(join(folder, file), shard);
  }
  const index = { metadata: {}, weight_map: files };
  await Bun.write(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
  const config = await Bun.file(join(packed, "config.json")).json();
  config.quantization_config = { ...config.quantization_config, quantization_mode: "online" };
  await Bun.write(join(folder, "config.json"), JSON.stringify(config));
}

async function writeShard(
  path: string,
  weights: readonly { name: string; shape: readonly number[]; bytes: number }[],
): Promise<void> {
  let at = 0;
  const header: Record<string, object> = {};
  for (const { name, shape, bytes } of weights) {
    header[name] = { dtype: "BF16", shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const text = JSON.stringify(header);
  const padded = text.padEnd(Math.ceil(text.length / 8) * 8);
  const length = new BigUint64Array([BigInt(padded.length)]);
  const writer = Bun.file(path).writer();
  writer.write(length);
  writer.write(padded);
  // A block of about normal numbers again and again: sums of three bytes, as bfloat16.
  const block = Uint16Array.from({ length: mib / 2 }, () => {
    const value = (Math.random() + Math.random() + Math.random() - 1.5) * 0.04;
    return new Uint32Array(new Float32Array([value]).buffer)[0]! >>> 16;
  });
  for (const { bytes } of weights) {
    for (let done = 0; done < bytes; done += mib) {
      writer.write(new Uint8Array(block.buffer, 0, Math.min(mib, bytes - done)));
      await writer.flush();
    }
  }
  await writer.end();
}
