// The parts that transformer families share while they record: heads, sub-norms, experts, output.
import {
  type Gate,
  type ModelView,
  type Recorder,
  type Value,
  WrinkleFreeError,
} from "../../core/index.ts";
import { ropeOptions } from "./rope.ts";

/** Settings of a family that its files do not tell. */
export interface Family {
  readonly activation: Gate;
  /** Pairs that RoPE rotates in GGUF files; checkpoints say otherwise by `{arch}.rope.kind`. */
  readonly rope: "half" | "interleaved";
  readonly embeddingScale?: number;
  /** Whether the weights of a token's experts sum to one where the file does not tell; default true. */
  readonly normalizeExperts?: boolean;
  /** Factor of each residual branch. */
  readonly residualScale?: number;
  readonly logitScale?: number;
}

/** `{arch}.{key}` of the model's metadata. */
export function own(model: ModelView, key: string): unknown {
  return model.metadata[`${model.hyperparameters.architecture}.${key}`];
}

export function ownNumber(model: ModelView, key: string): number | undefined {
  const value = own(model, key);
  return typeof value === "number" ? value : undefined;
}

/** Records a whole decoder-only transformer: embedding, layers, norm, logits. */
export function recordTransformer(recorder: Recorder, family: Family): void {
  const { model } = recorder;
  let x = recorder.embed("token_embd.weight", { scale: family.embeddingScale });
  for (let layer = 0; layer < model.hyperparameters.layers; layer++) {
    x = attention(recorder, family, layer, x);
    x = feedForward(recorder, family, layer, x);
  }
  const output = model.has("output.weight") ? "output.weight" : "token_embd.weight";
  recorder.logits(recorder.norm(x, "output_norm.weight"), output, { scale: family.logitScale });
}

/** x + o(sub_norm(attention(rope(q), rope(k), v))) of norm(x); sub-norm and q/k norms where they are. */
function attention(recorder: Recorder, family: Family, layer: number, x: Value): Value {
  const { model } = recorder;
  const { heads, kvHeads, subNormEpsilon } = model.hyperparameters;
  const part = (name: string): string => `blk.${layer}.${name}.weight`;
  const a = recorder.norm(x, part("attn_norm"));
  let [q, k, v] = project(recorder, a, [part("attn_q"), part("attn_k"), part("attn_v")]) as [
    Value,
    Value,
    Value,
  ];
  if (model.has(part("attn_q_norm"))) q = recorder.norm(q, part("attn_q_norm"), { heads });
  if (model.has(part("attn_k_norm"))) k = recorder.norm(k, part("attn_k_norm"), { heads: kvHeads });
  recorder.rope(q, k, ropeOptions(recorder, family.rope));
  let o = recorder.attend(q, k, v, { layer });
  if (model.has(part("attn_sub_norm"))) {
    o = recorder.norm(o, part("attn_sub_norm"), { epsilon: subNormEpsilon });
  }
  return residual(recorder, family, o, part("attn_output"), x);
}

/** x + down(sub_norm(act(gate(norm(x))) * up(norm(x)))), or the same over a token's experts. */
function feedForward(recorder: Recorder, family: Family, layer: number, x: Value): Value {
  const { model } = recorder;
  const { subNormEpsilon } = model.hyperparameters;
  const part = (name: string): string => `blk.${layer}.${name}.weight`;
  const f = recorder.norm(x, part("ffn_norm"));
  if (model.has(part("ffn_gate_inp"))) return mixture(recorder, family, layer, f, x);
  const activation = activationOf(model, family);
  let g = gated(recorder, f, part("ffn_gate"), part("ffn_up"), activation);
  if (model.has(part("ffn_sub_norm"))) {
    g = recorder.norm(g, part("ffn_sub_norm"), { epsilon: subNormEpsilon });
  }
  return residual(recorder, family, g, part("ffn_down"), x);
}

function mixture(recorder: Recorder, family: Family, layer: number, f: Value, x: Value): Value {
  const { model } = recorder;
  const { experts, expertsUsed, subNormEpsilon } = model.hyperparameters;
  const part = (name: string): string => `blk.${layer}.${name}.weight`;
  const targets = own(model, "router_targets");
  const bias = `blk.${layer}.exp_probs_b.bias`;
  const routing = recorder.route(recorder.linear(f, part("ffn_gate_inp")), routerOf(model), {
    experts,
    topK: expertsUsed,
    normalize: (own(model, "expert_weights_norm") ?? family.normalizeExperts) !== false,
    scale: ownNumber(model, "expert_weights_scale") || undefined,
    bias: model.has(bias) ? model.floats(bias) : undefined,
    groups: ownNumber(model, "expert_group_count") || undefined,
    groupsUsed: ownNumber(model, "expert_group_used_count"),
    ...(targets ? { targets: [...(targets as ArrayLike<number> & Iterable<number>)] } : {}),
  });
  const shared = model.has(part("ffn_gate_shexp"))
    ? sharedExpert(recorder, family, layer, f, x)
    : x;
  const subNorm = [part("ffn_sub_norm_exps"), part("ffn_sub_norm")].find((name) => model.has(name));
  return recorder.experts(
    f,
    routing,
    { gate: part("ffn_gate_exps"), up: part("ffn_up_exps"), down: part("ffn_down_exps"), subNorm },
    { activation: activationOf(model, family), epsilon: subNormEpsilon, add: shared },
  );
}

/** x + the expert that every token goes to (DeepSeek), or a share of it (Qwen2-MoE: its own gate). */
function sharedExpert(
  recorder: Recorder,
  family: Family,
  layer: number,
  f: Value,
  x: Value,
): Value {
  const part = (name: string): string => `blk.${layer}.${name}.weight`;
  const activation = activationOf(recorder.model, family);
  let g = gated(recorder, f, part("ffn_gate_shexp"), part("ffn_up_shexp"), activation);
  if (recorder.model.has(part("ffn_sub_norm_shexp"))) {
    const { subNormEpsilon } = recorder.model.hyperparameters;
    g = recorder.norm(g, part("ffn_sub_norm_shexp"), { epsilon: subNormEpsilon });
  }
  const gate = part("ffn_gate_inp_shexp");
  if (!recorder.model.has(gate)) return recorder.linear(g, part("ffn_down_shexp"), { add: x });
  const out = recorder.linear(g, part("ffn_down_shexp"));
  return recorder.add(x, recorder.gateRows(out, recorder.linear(f, gate)));
}

/** `router_type` is ours; `expert_gating_func` is GGUF's: 1 softmax, 2 sigmoid. */
function routerOf(model: ModelView): string {
  const named = own(model, "router_type");
  if (typeof named === "string") return named;
  const gating = ownNumber(model, "expert_gating_func") ?? 0;
  const router = ["top-k", "top-k", "top-k-sigmoid"][gating];
  if (router !== undefined) return router;
  throw new WrinkleFreeError(
    "unsupported",
    `experts are scored by function ${gating}, not 1 or 2`,
    {
      field: `${model.hyperparameters.architecture}.expert_gating_func`,
    },
  );
}

/** Linears on one input; each has its own norm before it where the model was trained with one. */
function project(recorder: Recorder, input: Value, weights: readonly string[]): Value[] {
  if (!weights.some((weight) => recorder.model.has(normIn(weight)))) {
    return recorder.linear(input, weights);
  }
  return weights.map((weight) => recorder.linear(normed(recorder, input, weight), weight));
}

function normIn(weight: string): string {
  return weight.replace(/\.weight$/, "_norm_in.weight");
}

function normed(recorder: Recorder, input: Value, weight: string): Value {
  const { model } = recorder;
  if (!model.has(normIn(weight))) return input;
  return recorder.norm(input, normIn(weight), { epsilon: model.hyperparameters.subNormEpsilon });
}

function gated(
  recorder: Recorder,
  input: Value,
  gate: string,
  up: string,
  activation: Gate,
): Value {
  if (!recorder.model.has(normIn(gate))) return recorder.gated(input, gate, up, activation);
  const [g, u] = project(recorder, input, [gate, up]) as [Value, Value];
  return recorder.multiply(recorder.map(g, activation), u);
}

function residual(
  recorder: Recorder,
  family: Family,
  input: Value,
  weight: string,
  x: Value,
): Value {
  const scale = family.residualScale;
  return recorder.linear(normed(recorder, input, weight), weight, { add: x, scale });
}

function activationOf(model: ModelView, family: Family): Gate {
  const named = own(model, "activation") ?? family.activation;
  if (named === "relu2" || named === "silu" || named === "gelu") return named;
  throw new WrinkleFreeError("bad_file", `activation is ${named}, not relu2, silu or gelu`, {
    field: `${model.hyperparameters.architecture}.activation`,
  });
}
