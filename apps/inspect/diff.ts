// Compares two models: tensor by tensor, then by the logits of one short text.
import { type Registry, WrinkleFreeError } from "../../core/index.ts";
import { type Model, openModel } from "../../core/model.ts";
import { compareLogits } from "../convert/forward.ts";
import type { LogitComparison } from "../convert/options.ts";
import { Source } from "../convert/source.ts";

export interface TensorDifference {
  readonly name: string;
  /** What differs, in words. */
  readonly text: string;
}

export interface Comparison {
  readonly tensors: number;
  readonly equal: number;
  readonly differences: readonly TensorDifference[];
  readonly logits?: LogitComparison;
  /** Why the logits were not compared. */
  readonly noLogits?: string;
}

/** Largest relative difference of scales that storing them as float16 explains. */
const halfRounding = 2 ** -10;

export async function compareModels(
  first: string,
  second: string,
  registry: Registry,
  withLogits: boolean,
): Promise<Comparison> {
  const tensors = await compareTensors(first, second, registry);
  if (!withLogits) return tensors;
  try {
    return { ...tensors, logits: await compareLogits(first, second, registry) };
  } catch (error) {
    if (!(error instanceof WrinkleFreeError)) throw error;
    return { ...tensors, noLogits: error.message };
  }
}

async function compareTensors(
  first: string,
  second: string,
  registry: Registry,
): Promise<Comparison> {
  using a = await openModel(first, registry);
  using b = await openModel(second, registry);
  const differences: TensorDifference[] = [];
  const names = new Set([...a.tensors.keys(), ...b.tensors.keys()]);
  for (const name of names) {
    const text = differenceOf(name, a, b);
    if (text !== undefined) differences.push({ name, text });
  }
  return { tensors: names.size, equal: names.size - differences.length, differences };
}

function differenceOf(name: string, a: Model, b: Model): string | undefined {
  const [x, y] = [a.tensors.get(name), b.tensors.get(name)];
  if (!x || !y) return `only in ${x ? a.path : b.path}`;
  if (x.shape.join() !== y.shape.join()) return `shapes [${x.shape}] and [${y.shape}]`;
  const [from, to] = comparable(a, b);
  if (x.ternary && y.ternary) {
    const [left, right] = [from.trits(x), to.trits(y)];
    let other = 0;
    for (let i = 0; i < left.trits.length; i++) if (left.trits[i] !== right.trits[i]) other++;
    if (other > 0) return `${other} of ${left.trits.length} ternary weights`;
    return scaleDifference(left, right);
  }
  const [left, right] = [from.floats(x), to.floats(y)];
  let [largest, magnitude] = [0, 0];
  for (let i = 0; i < left.length; i++) {
    largest = Math.max(largest, Math.abs((left[i] as number) - (right[i] as number)));
    magnitude = Math.max(magnitude, Math.abs(left[i] as number));
  }
  if (largest === 0) return undefined;
  return `values differ by up to ${largest.toExponential(2)} (largest value ${magnitude.toPrecision(3)}; ${x.format}, ${y.format})`;
}

/** Where only one keeps q and k for RoPE on halves, its rows are brought to the other's order. */
function comparable(a: Model, b: Model): [Source, Source] {
  const kind = (model: Model): unknown =>
    model.metadata[`${model.hyperparameters.architecture}.rope.kind`];
  const [x, y] = [kind(a), kind(b)];
  if (x === y) return [new Source(a, undefined), new Source(b, undefined)];
  return [
    new Source(a, x === "half" ? "interleaved" : x === "interleaved" ? "half" : undefined),
    new Source(b, y === "half" ? "interleaved" : y === "interleaved" ? "half" : undefined),
  ];
}

interface Grouped {
  readonly trits: Int8Array;
  readonly scales: Float32Array;
  readonly size: number;
}

function scaleDifference(left: Grouped, right: Grouped): string | undefined {
  let largest = 0;
  const size = Math.min(left.size, right.size);
  for (let at = 0; at < left.trits.length; at += size) {
    const [a, b] = [
      left.scales[Math.floor(at / left.size)],
      right.scales[Math.floor(at / right.size)],
    ];
    if (a === b || left.trits.subarray(at, at + size).every((trit) => trit === 0)) continue;
    largest = Math.max(largest, Math.abs((a as number) - (b as number)) / Math.abs(a as number));
  }
  if (largest === 0) return undefined;
  const why = largest <= halfRounding ? " (rounded to a half float)" : "";
  return `scales differ by ${(100 * largest).toPrecision(2)} %${why}`;
}
