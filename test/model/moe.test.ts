// Mixtures of experts: golden logits of the trained model, the scalar form, and equality with dense.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import {
  createRuntime,
  definePlugin,
  type ModelFile,
  modelOfFile,
  Registry,
  type Router,
  type Runtime,
  type TensorInfo,
} from "../../core/index.ts";
import routers from "../../plugins/routers/index.ts";
import { standard } from "../../plugins/standard.ts";
import { OracleStep } from "../support/oracle-step.ts";
import {
  argmax,
  cosine,
  evaluate,
  fixture,
  floatsOfBase64,
  golden,
  hashOf,
  openFixture,
  registry,
} from "../support/runtime.ts";

interface GoldenMoe {
  readonly checkpoints: Record<
    string,
    { readonly prompts: readonly { name: string; ids: number[]; logits_last: string }[] }
  >;
}

interface GoldenGguf {
  readonly prompt: number[];
  readonly greedy: number[];
  readonly logits_last: string;
}

const tokens = Array.from({ length: 60 }, (_, i) => (i === 0 ? 4080 : (i * 37 + 11) % 4080));

for (const name of ["moe-packed", "moe-fake-packed"]) {
  describe(name, () => {
    test("logits of the golden prompts", async () => {
      using runtime = await openFixture(`tern/${name}`);
      const { checkpoints } = await golden<GoldenMoe>("tern/moe.json");
      for (const prompt of checkpoints[name]!.prompts) {
        const reference = floatsOfBase64(prompt.logits_last);
        const logits = evaluate(runtime, prompt.ids, "last")[0]!;
        expect(argmax(logits)).toBe(argmax(reference));
        expect(cosine(logits, reference)).toBeGreaterThan(0.9999);
      }
    });

    test("a step equals its scalar form, bit for bit", async () => {
      using runtime = await openFixture(`tern/${name}`, { contextLength: 256 });
      const own = tokens.slice(0, 4);
      const oracle = new OracleStep(runtime.model, own);
      runtime.model.architecture.record(oracle);
      expect(hashOf(evaluate(runtime, own))).toBe(hashOf(oracle.result));
    }, 60_000);
  });
}

test("the same bits for any ISA, threads and chunk", async () => {
  const hashes = new Set<string>();
  for (const isa of process.arch === "x64" ? ["avx512", "avx2", "generic"] : ["neon"]) {
    for (const threads of [1, 3]) {
      using runtime = await openFixture("tern/moe-packed", { isa, threads });
      for (const chunk of [1, 7, 60]) hashes.add(hashOf(evaluate(runtime, tokens, "all", chunk)));
    }
  }
  expect(hashes.size).toBe(1);
}, 120_000);

const folder = mkdtempSync(join(tmpdir(), "wf-moe-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function converted(source: string, options: object): Promise<string> {
  const output = join(folder, `${Bun.hash(JSON.stringify([source, options]))}.gguf`);
  await convert({ source: fixture(source), output, ...options }, registry);
  return output;
}

function open(model: string): Promise<Runtime> {
  return openFixture(model, { contextLength: 256 });
}

async function hashOfModel(model: string): Promise<string> {
  using runtime = await open(model);
  return hashOf(evaluate(runtime, tokens));
}

describe("converted mixtures", () => {
  test("an i2_s file has the checkpoint's bits", async () => {
    const file = await converted("tern/moe-packed", { quantize: "i2_s", embedding: "bf16" });
    using runtime = await open(file);
    expect(hashOf(evaluate(runtime, tokens))).toBe(await hashOfModel("tern/moe-packed"));
  }, 30_000);

  test("experts run on the mapped file, unpacked, with the same bits", async () => {
    const file = await converted("tern/moe-packed", { quantize: "i2_s", embedding: "bf16" });
    using runtime = await openFixture(file, { contextLength: 256, mapped: true });
    expect(hashOf(evaluate(runtime, tokens))).toBe(await hashOfModel("tern/moe-packed"));
  }, 30_000);

  for (const expertsResident of [0, 1, 3]) {
    test(`${expertsResident} experts packed, the others mapped: the same bits`, async () => {
      const file = await converted("tern/moe-packed", { quantize: "i2_s", embedding: "bf16" });
      using runtime = await openFixture(file, { contextLength: 256, expertsResident });
      const first = Array.from({ length: 4 }, () => [0, 1, 2].slice(0, expertsResident));
      expect(runtime.expertsResident()).toEqual(first);
      for (const chunk of [1, 7]) {
        const hash = hashOf(evaluate(runtime, tokens, "all", chunk));
        expect(hash).toBe(await hashOfModel("tern/moe-packed"));
      }
      if (expertsResident !== 1) return;
      // The one with the most tokens of late stays, or one that has at least half as many.
      const use = runtime.expertUse();
      expect(runtime.expertsResident()).not.toEqual(first);
      for (const [layer, [expert]] of runtime.expertsResident().entries()) {
        const { tokens: sent } = use[layer]!;
        expect(sent[expert!]!).toBeGreaterThan(Math.max(...sent) / 4);
      }
    }, 30_000);
  }

  test("experts that cannot run from the file are refused", async () => {
    const message = await openFixture("tern/moe-packed", { expertsResident: 2 }).then(
      () => "opened",
      (error: Error) => error.message,
    );
    expect(message).toContain("blk.0.ffn_down_exps.weight: hf-packed [4, 256, 768] does not run");
  });

  test("float experts run on the file's rows", async () => {
    const file = await converted("tern/moe-packed", { quantize: "f16" });
    using runtime = await open(file);
    const { checkpoints } = await golden<GoldenMoe>("tern/moe.json");
    const [prompt] = checkpoints["moe-packed"]!.prompts;
    const logits = evaluate(runtime, prompt!.ids, "last")[0]!;
    expect(cosine(logits, floatsOfBase64(prompt!.logits_last))).toBeGreaterThan(0.99);
    expect(runtime.tape.listing().some((line) => line.includes("linear_experts"))).toBe(true);
  }, 30_000);

  for (const mixture of [
    { experts: 4, topK: 1, router: "identity" },
    { experts: 4, topK: 2, router: "identity" },
    { experts: 4, topK: 2, router: "identity", shareExperts: true },
  ] as const) {
    test(`a fake mixture has the dense model's bits: ${JSON.stringify(mixture)}`, async () => {
      const file = await converted("tern/hf-packed", {
        quantize: "i2_s",
        embedding: "bf16",
        mixture,
      });
      using runtime = await open(file);
      expect(hashOf(evaluate(runtime, tokens))).toBe(await hashOfModel("tern/hf-packed"));
    }, 30_000);
  }

  test("a fake mixture with a random top-k router has the dense model's greedy text", async () => {
    const mixture = { experts: 4, topK: 2, router: "top-k" } as const;
    const file = await converted("tern/hf-packed", {
      quantize: "i2_s",
      embedding: "bf16",
      mixture,
    });
    using mixed = await open(file);
    using dense = await open("tern/hf-packed");
    const prompt = [4080, 490, 474, 257, 423];
    expect(greedy(mixed, prompt, 40)).toEqual(greedy(dense, prompt, 40));
  }, 30_000);
});

function greedy(runtime: Runtime, prompt: readonly number[], count: number): number[] {
  const ids = [...prompt];
  for (let i = 0; i < count; i++) ids.push(argmax(evaluate(runtime, ids, "last")[0]!));
  return ids;
}

/** The trained mixture with another config and other tensors. */
async function changed(
  config: Record<string, unknown>,
  change: (
    tensors: Map<string, TensorInfo>,
    bytes: Map<string, Uint8Array>,
    file: ModelFile,
  ) => void,
): Promise<ModelFile> {
  const path = fixture("tern/moe-packed");
  const file = await registry.loader(path).open(path);
  const tensors = new Map(file.tensors);
  const bytes = new Map<string, Uint8Array>();
  change(tensors, bytes, file);
  return {
    path,
    kind: file.kind,
    metadata: file.metadata,
    config: { ...file.config, ...config },
    tensors,
    bytes: (name) => bytes.get(name) ?? file.bytes(name),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

for (const gated of [false, true]) {
  test(`a shared expert${gated ? " with a gate" : ""} equals its scalar form`, async () => {
    const file = await changed({}, (tensors, bytes, source) => {
      for (let layer = 0; layer < 4; layer++) {
        const at = `model.layers.${layer}.mlp`;
        for (const part of ["gate_proj", "up_proj", "down_proj"]) {
          for (const end of ["weight", "weight_scale"]) {
            const info = tensors.get(`${at}.experts.1.${part}.${end}`)!;
            const name = `${at}.shared_expert.${part}.${end}`;
            tensors.set(name, { ...info, name });
            bytes.set(name, source.bytes(info.name));
          }
        }
        const router = tensors.get(`${at}.gate.weight`)!;
        const [experts, hidden] = router.shape as [number, number];
        const name = `${at}.shared_expert_gate.weight`;
        const byteLength = router.byteLength / experts;
        if (!gated) continue;
        tensors.set(name, { ...router, name, shape: [1, hidden], byteLength });
        bytes.set(name, source.bytes(router.name).subarray(0, byteLength));
      }
    });
    const model = modelOfFile(file, registry);
    using runtime = createRuntime(model, { contextLength: 256, maxSequences: 2 }, registry);
    const own = tokens.slice(0, 4);
    const oracle = new OracleStep(runtime.model, own);
    runtime.model.architecture.record(oracle);
    const hash = hashOf(evaluate(runtime, own));
    expect(hash).toBe(hashOf(oracle.result));
    using plain = await open("tern/moe-packed");
    expect(hash).not.toBe(hashOf(evaluate(plain, own)));
  }, 60_000);
}

test("tokens sent to each expert are counted", async () => {
  using runtime = await open("tern/moe-packed");
  evaluate(runtime, tokens, "all", 7);
  const use = runtime.expertUse();
  expect(use.length).toBe(4);
  for (const { tokens: sent, balance } of use) {
    expect(sent.reduce((a, b) => a + b, 0)).toBe(2 * tokens.length);
    expect(balance).toBeGreaterThan(1.5);
    expect(balance).toBeLessThan(4);
  }
});

test("a third party's router in plain TypeScript routes as it says", async () => {
  const own: Router = { name: "top-k", route: routers.routers![0]!.route };
  const others = standard.filter((plugin) => plugin.name !== routers.name);
  const scripted = new Registry([...others, definePlugin({ name: "own", routers: [own] })]);
  const path = fixture("tern/moe-packed");
  const model = modelOfFile(await scripted.loader(path).open(path), scripted);
  using runtime = createRuntime(model, { contextLength: 256, maxSequences: 2 }, scripted);
  expect(runtime.tape.listing().filter((line) => line.includes("script")).length).toBe(4);
  using native = await open("tern/moe-packed");
  const [a, b] = [runtime, native].map((each) => evaluate(each, tokens, "last", 9)[0]!);
  expect(cosine(a!, b!)).toBeGreaterThan(0.9999);
});

describe("bad mixtures are refused by name", () => {
  /** The error of opening the checkpoint with another config, or with other tensors. */
  async function refusal(
    config: Record<string, unknown>,
    change: (tensors: Map<string, TensorInfo>, bytes: Map<string, Uint8Array>) => void = () => {},
  ): Promise<string> {
    const file = await changed(config, change);
    try {
      createRuntime(modelOfFile(file, registry), { contextLength: 64 }, registry);
      return "accepted";
    } catch (error) {
      return (error as Error).message;
    }
  }
  const expert = "model.layers.1.mlp.experts.2.gate_proj";

  test("more experts chosen than there are", async () => {
    expect(await refusal({ num_experts_per_tok: 5 })).toContain("expert_used_count is 5");
  });

  test("a missing expert", async () => {
    const message = await refusal({}, (tensors) => {
      tensors.delete(`${expert}.weight`);
      tensors.delete(`${expert}.weight_scale`);
    });
    expect(message).toContain("blk.1.ffn_gate_exps.weight");
  });

  test("an expert of another shape", async () => {
    const message = await refusal({}, (tensors) => {
      const info = tensors.get(`${expert}.weight`)!;
      tensors.set(`${expert}.weight`, { ...info, shape: [info.shape[0]!, 128] });
    });
    expect(message).toContain("blk.1.ffn_gate_exps.weight");
  });

  test("NaN in the router", async () => {
    const router = "model.layers.2.mlp.gate.weight";
    const message = await refusal({}, (tensors, bytes) => {
      const { byteLength } = tensors.get(router)!;
      bytes.set(router, new Uint8Array(byteLength).fill(0xff));
    });
    expect(message).toContain("blk.2.ffn_gate_inp.weight holds NaN");
  });
});

for (const family of ["mixtral", "qwen2moe"]) {
  test(`${family} as the gguf package writes it: a float64 program's logits, llama.cpp's tokens`, async () => {
    const { prompt, greedy: expected, logits_last } = await golden<GoldenGguf>(`${family}.json`);
    using runtime = await open(`gguf/${family}-f16.gguf`);
    const logits = evaluate(runtime, prompt, "last")[0]!;
    expect(cosine(logits, floatsOfBase64(logits_last))).toBeGreaterThan(0.9999);
    expect(greedy(runtime, prompt, expected.length).slice(prompt.length)).toEqual(expected);
  });
}
