// Compares two models: tensor by tensor, then by the logits of one short text.
import { openRuntime, type Runtime } from "../../core/engine/runtime.ts";
import { type Registry, WrinkleFreeError } from "../../core/index.ts";
import { type Model, openModel } from "../../core/model.ts";
import { Source } from "../convert/source.ts";

export interface TensorDifference {
  readonly name: string;
  /** What differs, in words. */
  readonly text: string;
}

export interface LogitComparison {
  readonly tokens: number;
  /** Every logit equal, bit for bit. */
  readonly identical: boolean;
  readonly smallestCosine: number;
  readonly largestDifference: number;
  /** Positions whose best token is the same. */
  readonly sameBest: number;
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

/** Tokens of the comparison: a fixed scatter over the vocabulary, which needs no tokenizer. */
const comparedTokens = 32;

async function compareLogits(
  first: string,
  second: string,
  registry: Registry,
): Promise<LogitComparison> {
  const [a, b] = [await rows(first, registry), await rows(second, registry)];
  let [smallestCosine, largestDifference, sameBest] = [1, 0, 0];
  for (const [i, left] of a.entries()) {
    const right = b[i] as Float32Array;
    if (left.length !== right.length) {
      throw new WrinkleFreeError(
        "unsupported",
        `vocabularies of ${left.length} and ${right.length}`,
      );
    }
    let [dot, aa, bb] = [0, 0, 0];
    for (let j = 0; j < left.length; j++) {
      const [x, y] = [left[j] as number, right[j] as number];
      dot += x * y;
      aa += x * x;
      bb += y * y;
      largestDifference = Math.max(largestDifference, Math.abs(x - y));
    }
    smallestCosine = Math.min(smallestCosine, dot / Math.sqrt(aa * bb));
    if (best(left) === best(right)) sameBest++;
  }
  const identical = largestDifference === 0;
  return { tokens: a.length, identical, smallestCosine, largestDifference, sameBest };
}

function best(logits: Float32Array): number {
  let index = 0;
  for (let i = 1; i < logits.length; i++) {
    if ((logits[i] as number) > (logits[index] as number)) index = i;
  }
  return index;
}

async function rows(path: string, registry: Registry): Promise<Float32Array[]> {
  const options = {
    model: path,
    contextLength: comparedTokens,
    maxSequences: 1,
    maxRows: comparedTokens,
  };
  using runtime: Runtime = await openRuntime(options, registry);
  const tokens = Array.from(
    { length: comparedTokens },
    (_, i) => (i * 7919 + 13) % runtime.vocabulary,
  );
  const pages = Array.from(
    { length: Math.ceil(comparedTokens / runtime.pagePositions) },
    (_, i) => i,
  );
  const wanted = tokens.map((_, i) => i);
  runtime.run({ sequences: [{ tokens, position: 0, pages, logits: wanted }] });
  return wanted.map((i) => Float32Array.from(runtime.logits(i)));
}
