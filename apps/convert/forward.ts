// One short forward pass on two models: what a conversion is proved with, and inspect compares by.
import { freemem } from "node:os";
import { openRuntime, type Runtime, type RuntimeOptions } from "../../core/engine/runtime.ts";
import { type Registry, WrinkleFreeError } from "../../core/index.ts";
import type { ConvertOptions, LogitComparison } from "./options.ts";

/** Below this the output would answer otherwise than its source; roundings of a head stay far above. */
const leastCosine = 0.9;

/**
 * Compares logits of an output with its source's, or tells why not. Throws `internal` where they have
 * little to do with each other.
 * @param temporary the output under its name of the moment
 * @param bytes size of the output
 */
export async function proveForward(
  options: ConvertOptions,
  temporary: string,
  bytes: number,
  registry: Registry,
): Promise<{ readonly logits?: LogitComparison; readonly noLogits?: string }> {
  if (options.naive) return { noLogits: "--naive makes another model of the source" };
  if (options.config !== undefined) return { noLogits: "the source has no config.json of its own" };
  if (options.mixture) return { noLogits: "the source is no mixture" };
  if (2 * bytes > freemem()) {
    return { noLogits: `two models of ${Math.ceil(bytes / 2 ** 20)} MiB need more memory` };
  }
  let logits: LogitComparison;
  try {
    const { source, weightScale, threads } = options;
    logits = await compareLogits(source, temporary, registry, { weightScale, threads });
  } catch (error) {
    if (!(error instanceof WrinkleFreeError)) throw error;
    return { noLogits: error.message };
  }
  if (logits.smallestCosine >= leastCosine) return { logits };
  throw new WrinkleFreeError(
    "internal",
    `verification failed: logits of the output and its source have a cosine of ${logits.smallestCosine}`,
    { hint: "Please report this with the command line; nothing was written under the final name." },
  );
}

/** Tokens of the comparison: a fixed scatter over the vocabulary, which needs no tokenizer. */
const comparedTokens = 32;

/**
 * Logits of two models on the same tokens, one model in memory after the other. Throws `unsupported`
 * where their vocabularies differ, and what opening them throws.
 */
export async function compareLogits(
  first: string,
  second: string,
  registry: Registry,
  options: Pick<RuntimeOptions, "weightScale" | "threads"> = {},
): Promise<LogitComparison> {
  const [a, b] = [
    await rows(first, registry, options),
    await rows(second, registry, { threads: options.threads }),
  ];
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

async function rows(
  path: string,
  registry: Registry,
  own: Pick<RuntimeOptions, "weightScale" | "threads">,
): Promise<Float32Array[]> {
  const options = {
    ...own,
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
