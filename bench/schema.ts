// Compares the speed of answers held to a JSON schema with free ones, by turns in one process.
//   bun bench/schema.ts [shape, default bitnet-2b-4t] [threads, default 2] [rounds, default 5] [draft max]
import { median } from "../apps/bench/measure.ts";
import { syntheticPath } from "../apps/bench/model-file.ts";
import { createRegistry } from "../apps/plugins.ts";
import { createChooserFactory } from "../core/engine/choosers.ts";
import { Engine } from "../core/engine/engine.ts";
import { engineOptions } from "../core/engine/worker.ts";
import {
  ConstraintFactory,
  createTokenizer,
  type GenerateRequest,
  openRuntime,
  Random,
} from "../core/index.ts";

const [shape = "bitnet-2b-4t", threads = "2", rounds = "5", drafts] = process.argv.slice(2);
const tokens = 48;
const text = { type: "string", minLength: 8, maxLength: 40 };
const record = {
  type: "object",
  properties: { name: text, age: { type: "integer" }, tags: { type: "array", items: text } },
  required: ["name", "age", "tags"],
  additionalProperties: false,
};
const constraint = {
  kind: "json_schema",
  source: JSON.stringify({ type: "array", items: record, minItems: 100 }),
} as const;

const registry = await createRegistry();
using runtime = await openRuntime(
  {
    model: syntheticPath(shape, registry),
    contextLength: 1024,
    threads: Number(threads),
    maxSequences: 8,
  },
  registry,
);

/** One engine for all runs, as in a server: grammars and masks are kept. */
const engine = new Engine(
  runtime,
  createChooserFactory(registry, runtime.model),
  engineOptions(runtime, drafts === undefined ? {} : { maxDraft: Number(drafts) }),
);
const prompt = Array.from({ length: 16 }, (_, i) => 1000 + 37 * i);
let count = 0;

interface Times {
  /** Milliseconds a token after the first. */
  readonly each: number;
  /** Of the slowest step, and of the first token: where masks are made. */
  readonly most: number;
  readonly first: number;
}

function run(more: Partial<GenerateRequest>, streams: number): Times {
  for (let i = 0; i < streams; i++) {
    const id = `${count++}`;
    engine.add({ id, prompt, maxTokens: tokens, sampling: {}, seed: i, endTokens: [], ...more });
  }
  const start = performance.now();
  let first = 0;
  let most = 0;
  let last = start;
  while (!engine.idle) {
    engine.step();
    const now = performance.now();
    if (first === 0) first = now - start;
    else most = Math.max(most, now - last);
    last = now;
  }
  return { each: (last - start - first) / (tokens - 1), most, first };
}

/** Milliseconds that masks take along a random text of the schema: median, 99 of 100, first of all. */
function maskTimes(steps: number): [number, number, number] {
  const source = runtime.model.tokenizer;
  if (!source) throw new Error("the synthetic model has a tokenizer");
  const held = new ConstraintFactory(createTokenizer(source)).create(constraint);
  const { vocabulary } = runtime;
  const mask = new Uint32Array(Math.ceil(vocabulary / 32));
  const random = new Random(1);
  const times: number[] = [];
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    held.mask(mask);
    times.push(performance.now() - start);
    let token = Math.floor(random.double() * vocabulary);
    while (((mask[token >> 5] ?? 0) & (1 << (token & 31))) === 0) token = (token + 1) % vocabulary;
    held.accept(token);
  }
  const [first = 0, ...rest] = times;
  rest.sort((a, b) => a - b);
  return [rest[rest.length >> 1] ?? 0, rest[Math.floor(rest.length * 0.99)] ?? 0, first];
}

const [middle, slow, first] = maskTimes(400);
console.log(
  `masks over ${runtime.vocabulary} tokens: median ${middle.toFixed(3)} ms, 99 of 100 within ` +
    `${slow.toFixed(2)} ms, the first (with the tree of tokens) ${first.toFixed(0)} ms`,
);

for (const streams of [1, 4, 8]) {
  for (const sampling of [{ temperature: 0 }, { temperature: 0.8 }]) {
    const cold = run({ sampling, constraint }, streams);
    const free: Times[] = [];
    const held: Times[] = [];
    for (let round = 0; round < Number(rounds); round++) {
      free.push(run({ sampling }, streams));
      held.push(run({ sampling, constraint }, streams));
    }
    const of = (list: Times[], key: keyof Times): number => median(list.map((time) => time[key]));
    const rate = (list: Times[]): string => ((1000 * streams) / of(list, "each")).toFixed(1);
    const share = median(free.map((time, i) => time.each / held[i]!.each));
    console.log(
      `${shape}, ${threads} threads, ${streams} streams, temperature ${sampling.temperature}: ` +
        `free ${rate(free)} tokens/s, with a schema ${rate(held)} (${(100 * share).toFixed(0)} %); ` +
        `slowest step ${of(free, "most").toFixed(1)} and ${of(held, "most").toFixed(1)} ms; ` +
        `the schema's first token when new ${cold.first.toFixed(0)} ms`,
    );
  }
}
