// Prints what `inspect` finds, for people or as JSON.
import { type MetadataValue, resolvePlugins } from "../../core/index.ts";
import { type Model, openModel } from "../../core/model.ts";
import { findModelFile } from "../manage/find.ts";
import { createRegistry } from "../plugins.ts";
import { type Comparison, compareModels } from "./diff.ts";
import type { InspectFlags } from "./flags.ts";
import { type Summary, summarize, ternaryStatistics } from "./summary.ts";

/** Characters of a metadata value that are shown. */
const shownCharacters = 60;

export async function runInspect(name: string, flags: InspectFlags): Promise<void> {
  const plugins = await resolvePlugins(flags.plugin ?? [], process.cwd());
  const registry = await createRegistry(plugins);
  const path = await findModelFile(name, plugins);
  const print = (text: string): boolean => process.stdout.write(`${text}\n`);
  if (flags.diff !== undefined) {
    const other = await findModelFile(flags.diff, plugins);
    const comparison = await compareModels(path, other, registry, flags.logits);
    print(flags.json ? JSON.stringify(comparison) : describeDifference(comparison));
    if (comparison.differences.length > 0) process.exitCode = 1;
    return;
  }
  using model = await openModel(path, registry);
  const summary = summarize(model, flags.ctxSize);
  const tensors = flags.tensors ? listTensors(model, flags.weights ?? false) : undefined;
  if (flags.json) {
    print(JSON.stringify({ ...summary, ...(tensors && { tensors }) }));
    return;
  }
  print(describe(summary));
  if (flags.metadata) print(`\n${describeMetadata(model.metadata)}`);
  for (const tensor of tensors ?? []) print(describeTensor(tensor));
}

function byteCount(bytes: number): string {
  if (bytes < 2 ** 20) return `${(bytes / 2 ** 10).toFixed(1)} KiB`;
  if (bytes >= 10 * 2 ** 30) return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function count(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)} G`;
  return value >= 1e6 ? `${(value / 1e6).toFixed(1)} M` : String(value);
}

function describe(summary: Summary): string {
  const { heads, kvHeads, headDim, experts } = summary;
  const lines: [string, string][] = [
    ["model", summary.name ?? summary.path],
    ["architecture", `${summary.architecture} (${summary.kind})`],
    [
      "parameters",
      `${count(summary.parameters)}, ${count(summary.ternaryParameters)} of them ternary`,
    ],
    ["layers", `${summary.layers} of ${summary.hidden}, feed-forward ${summary.feedForward}`],
    ["heads", `${heads} of ${headDim}, ${kvHeads} for keys and values`],
    ...(experts
      ? ([["experts", `${experts.count}, ${experts.used} a token`]] as [string, string][])
      : []),
    ["context", `${summary.contextLength} tokens`],
    ["vocabulary", `${summary.vocabulary}${summary.tiedEmbedding ? ", embedding tied" : ""}`],
    ["tokenizer", `${summary.tokenizer}, ${summary.chatTemplate ? "with" : "no"} chat template`],
    ["end tokens", summary.endTokens.join(", ") || "none listed"],
    ["memory", describeMemory(summary)],
    ...summary.formats.map(({ format, tensors, weights, bytes }): [string, string] => [
      format,
      `${tensors} tensors, ${byteCount(bytes)}, ${((8 * bytes) / weights).toFixed(2)} bits a weight`,
    ]),
  ];
  return lines.map(([label, text]) => `${label.padEnd(14)}${text}`).join("\n");
}

function describeMemory({ memory }: Summary): string {
  const { contextLength, weights, keyValue, keyValue8 } = memory;
  const [full, small] = [weights + keyValue, weights + keyValue8].map(byteCount);
  return (
    `about ${full} with a context of ${contextLength}: weights ${byteCount(weights)}, ` +
    `keys and values ${byteCount(keyValue)} (as q8_0 ${byteCount(keyValue8)}, in all ${small})`
  );
}

interface ListedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly format: string;
  readonly bytes: number;
  readonly zeros?: number;
  readonly scales?: string;
}

function listTensors(model: Model, weights: boolean): ListedTensor[] {
  return [...model.tensors.values()].map((tensor) => {
    const { name, shape, format } = tensor;
    const bytes = tensor.parts.reduce((sum, part) => sum + part.byteLength, 0);
    if (!weights || !tensor.ternary) return { name, shape, format, bytes };
    const { zeros, smallestScale, largestScale } = ternaryStatistics(model, tensor);
    const [low, high] = [smallestScale.toPrecision(4), largestScale.toPrecision(4)];
    return { name, shape, format, bytes, zeros, scales: low === high ? low : `${low}..${high}` };
  });
}

function describeTensor({ name, shape, format, bytes, zeros, scales }: ListedTensor): string {
  const place = `${name.padEnd(34)} ${`[${shape.join(", ")}]`.padEnd(20)} ${format.padEnd(10)}`;
  const statistics =
    zeros === undefined ? "" : `  ${(100 * zeros).toFixed(1)} % zeros, scale ${scales}`;
  return `${place} ${byteCount(bytes).padStart(12)}${statistics}`;
}

function describeMetadata(metadata: Readonly<Record<string, MetadataValue>>): string {
  return Object.entries(metadata)
    .map(([key, value]) => `${key} = ${shorten(value)}`)
    .join("\n");
}

function shorten(value: MetadataValue): string {
  if (typeof value === "object") {
    const [first, second] = value as ArrayLike<unknown> & Iterable<unknown>;
    return `[${String(first)}, ${String(second)}, ... ${value.length} in all]`;
  }
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > shownCharacters ? `${text.slice(0, shownCharacters)}...` : text;
}

function describeDifference({ tensors, equal, differences, logits, noLogits }: Comparison): string {
  const lines = differences.map(({ name, text }) => `${name.padEnd(34)} ${text}`);
  lines.push(`${equal} of ${tensors} tensors hold equal values`);
  if (logits?.identical) lines.push(`logits of ${logits.tokens} tokens: identical bits`);
  else if (logits) {
    lines.push(
      `logits of ${logits.tokens} tokens: cosine at least ${logits.smallestCosine.toFixed(6)}, ` +
        `difference at most ${logits.largestDifference.toPrecision(3)}, ` +
        `best token equal at ${logits.sameBest}`,
    );
  }
  if (noLogits !== undefined) lines.push(`logits not compared: ${noLogits}`);
  return lines.join("\n");
}
