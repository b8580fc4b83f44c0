// RoPE options of a model: which pairs rotate, and the frequency factors of long-context scalings.
import { type ModelView, type Recorder, WrinkleFreeError } from "../../core/index.ts";

type RopeOptions = Parameters<Recorder["rope"]>[2];

/** Rope options from GGUF's `{arch}.rope.*`; rope_freqs.weight, where it is, holds the factors. */
export function ropeOptions(recorder: Recorder, family: RopeOptions["kind"]): RopeOptions {
  const { model, contextLength } = recorder;
  const { architecture } = model.hyperparameters;
  const kind = model.metadata[`${architecture}.rope.kind`] ?? family;
  if (kind !== "half" && kind !== "interleaved") {
    throw new WrinkleFreeError("bad_file", `rope.kind is ${kind}, not half or interleaved`, {
      field: `${architecture}.rope.kind`,
    });
  }
  if (model.has("rope_freqs.weight")) return { kind, factors: "rope_freqs.weight" };
  return { kind, ...scaling(model, contextLength) };
}

/**
 * Divisors of the base frequencies theta^(-2i/d), i = 0..d/2-1, and the factor on cos and sin, of the
 * scalings "linear", "llama3" (Llama 3.1), "yarn" (arXiv 2309.00071) and "longrope" (2402.13753).
 */
function scaling(model: ModelView, running: number): Pick<RopeOptions, "factors" | "scale"> {
  const { architecture, ropeDimensions, ropeTheta, contextLength } = model.hyperparameters;
  const key = (name: string): string => `${architecture}.rope.scaling.${name}`;
  const number = (name: string, fallback: number): number => {
    const value = model.metadata[key(name)];
    return typeof value === "number" ? value : fallback;
  };
  const factor = number("factor", 1);
  const original = number("original_context_length", contextLength);
  const pairs = ropeDimensions / 2;
  const frequency = (i: number): number => ropeTheta ** (-i / pairs);
  const long = model.has("rope_factors_long.weight") ? "longrope" : undefined;
  switch (model.metadata[key("type")] ?? long) {
    case "linear":
      return { factors: new Float32Array(pairs).fill(factor) };
    case "llama3": {
      const bounds = { low: number("low_freq_factor", 1), high: number("high_freq_factor", 4) };
      return { factors: fill(pairs, (i) => llama3Factor(frequency(i), factor, original, bounds)) };
    }
    case "yarn": {
      const [fast, slow] = [number("yarn_beta_fast", 32), number("yarn_beta_slow", 1)];
      const at = (rotations: number): number =>
        (pairs * Math.log(original / (rotations * 2 * Math.PI))) / Math.log(ropeTheta);
      const low = Math.max(Math.floor(at(fast)), 0);
      const high = Math.min(Math.ceil(at(slow)), ropeDimensions - 1);
      const ramp = (i: number): number =>
        1 - Math.min(1, Math.max(0, (i - low) / Math.max(high - low, 0.001)));
      return {
        factors: fill(pairs, (i) => 1 / ((1 - ramp(i)) / factor + ramp(i))),
        scale: number("attn_factor", 1) * (factor > 1 ? 0.1 * Math.log(factor) + 1 : 1),
      };
    }
    case "longrope":
      return longRope(model, running, original);
    default:
      return {};
  }
}

/**
 * Factors for short or long contexts, by the context of this run as llama.cpp chooses (transformers:
 * by the length of each text); the factor on cos and sin is the model's, whatever the context.
 */
function longRope(
  model: ModelView,
  running: number,
  original: number,
): Pick<RopeOptions, "factors" | "scale"> {
  const { architecture, ropeDimensions, contextLength } = model.hyperparameters;
  const which = running > original ? "long" : "short";
  const ratio = contextLength / original;
  const scale = ratio > 1 ? Math.sqrt(1 + Math.log(ratio) / Math.log(original)) : 1;
  const tensor = `rope_factors_${which}.weight`;
  if (model.has(tensor)) return { factors: tensor, scale };
  const field = `${architecture}.rope.scaling.${which}_factor`;
  const factors = model.metadata[field];
  const pairs = ropeDimensions / 2;
  if (factors instanceof Float32Array && factors.length === pairs) return { factors, scale };
  throw new WrinkleFreeError("bad_file", `${field} does not hold ${pairs} factors`, { field });
}

function fill(count: number, value: (i: number) => number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => value(i));
}

/** Low frequencies are divided by `factor`, high ones kept, those between blended. */
export function llama3Factor(
  frequency: number,
  factor: number,
  original: number,
  bounds: { readonly low: number; readonly high: number },
): number {
  const length = (2 * Math.PI) / frequency;
  if (length < original / bounds.high) return 1;
  if (length > original / bounds.low) return factor;
  const smooth = (original / length - bounds.low) / (bounds.high - bounds.low);
  return 1 / ((1 - smooth) / factor + smooth);
}
