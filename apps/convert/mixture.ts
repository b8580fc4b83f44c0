// Turns a dense model into a mixture of equal experts: for trying MoE code, and as a start for training.
import { type MetadataValue, Random, type Registry, WrinkleFreeError } from "../../core/index.ts";
import { Model, type ModelTensor } from "../../core/model.ts";
import type { FakeMixture } from "./options.ts";
import type { PlannedTensor } from "./plan.ts";

/** Parts of the feed-forward network that every expert gets a copy of, and their stacks' names. */
const stacks: Readonly<Record<string, string>> = {
  ffn_gate: "ffn_gate_exps",
  ffn_up: "ffn_up_exps",
  ffn_down: "ffn_down_exps",
  ffn_sub_norm: "ffn_sub_norm_exps",
};

/** Standard deviation of random router weights. */
const routerDeviation = 0.02;

/** Throws `usage` for numbers that make no sense. */
export function checkMixture({ experts, topK }: FakeMixture): void {
  if (!(Number.isInteger(experts) && experts >= 1 && experts <= 1024)) {
    throw new WrinkleFreeError("usage", `--fake-moe ${experts}: 1 to 1024 experts`, {
      flag: "--fake-moe",
    });
  }
  if (!(Number.isInteger(topK) && topK >= 1 && topK <= experts)) {
    throw new WrinkleFreeError("usage", `--top-k ${topK}: 1 to ${experts}, the number of experts`, {
      flag: "--top-k",
    });
  }
}

/**
 * The same model with `experts` copies of each feed-forward network; sub-norm and activation are kept.
 * Throws `unsupported` for a model that is a mixture already.
 */
export function mixtureOf(model: Model, mixture: FakeMixture): Model {
  const { architecture, experts } = model.hyperparameters;
  if (experts > 0) {
    throw new WrinkleFreeError("unsupported", `${model.path} is a mixture of experts already`, {
      file: model.path,
      flag: "--fake-moe",
    });
  }
  const tensors = new Map<string, ModelTensor>();
  for (const tensor of model.tensors.values()) {
    const copy = stacked(tensor, mixture);
    tensors.set(copy.name, copy);
  }
  const metadata: Record<string, MetadataValue> = {
    ...model.metadata,
    [`${architecture}.expert_count`]: mixture.experts,
    [`${architecture}.expert_used_count`]: mixture.topK,
    [`${architecture}.expert_weights_norm`]: true,
    [`${architecture}.router_type`]: mixture.router,
  };
  if (mixture.router === "identity") {
    const targets = Int32Array.from({ length: mixture.topK }, (_, i) => i);
    metadata[`${architecture}.router_targets`] = targets;
  }
  return new Model(model.file, model.architecture, metadata, tensors);
}

function stacked(tensor: ModelTensor, { experts, shareExperts }: FakeMixture): ModelTensor {
  const [, block, part] = /^(blk\.\d+)\.(\w+)\.weight$/.exec(tensor.name) ?? [];
  const stack = part === undefined ? undefined : stacks[part];
  if (stack === undefined || (shareExperts && part === "ffn_sub_norm")) return tensor;
  const [first] = tensor.parts;
  const scale = tensor.scale?.[0];
  return {
    ...tensor,
    name: `${block}.${stack}.weight`,
    shape: [experts, ...tensor.shape],
    parts: Array.from({ length: experts }, () => first as ModelTensor["parts"][number]),
    scale: scale === undefined ? undefined : new Float32Array(experts).fill(scale),
  };
}

/** `ffn_gate_inp` of each layer: zeros where the router does not look, else small random numbers. */
export function routerTensors(
  model: Model,
  registry: Registry,
  mixture: FakeMixture,
): PlannedTensor[] {
  const { layers, hidden } = model.hyperparameters;
  const quantizer = registry.quantizer("f32");
  const shape = [mixture.experts, hidden];
  const random = new Random(mixture.seed ?? 1);
  return Array.from({ length: layers }, (_, layer) => {
    const values = new Float32Array(mixture.experts * hidden);
    if (mixture.router !== "identity") {
      for (let i = 0; i < values.length; i++) values[i] = routerDeviation * normal(random);
    }
    const name = `blk.${layer}.ffn_gate_inp.weight`;
    return { name, shape, quantizer, byteLength: values.byteLength, kind: "computed", values };
  });
}

/** Box and Muller's transform. */
function normal(random: Random): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random.double()));
  return radius * Math.cos(2 * Math.PI * random.double());
}
