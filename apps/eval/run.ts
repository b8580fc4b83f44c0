// Runs `wrinklefree eval`: Python, lm-eval, figures with their intervals, the comparison of two servers.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { WrinkleFreeError } from "../../core/index.ts";
import { installed } from "../../core/installation.ts";
import { compareSamples, scoredTexts, type TaskComparison } from "./compare.ts";
import { type Divergence, divergence } from "./divergence.ts";
import {
  authorization,
  type HarnessOptions,
  type Metric,
  type Outcome,
  runHarness,
  type Target,
} from "./harness.ts";
import { cacheFolder, pythonEnvironment } from "./python.ts";
import { type Interval, normal, wilson } from "./statistics.ts";
import { taskGroups } from "./tasks.ts";

export interface EvalOptions {
  readonly url: string;
  readonly tasks: readonly string[];
  readonly chat?: boolean;
  readonly model?: string;
  readonly apiKey?: string;
  readonly compare?: string;
  readonly limit?: number;
  readonly numFewshot?: number;
  readonly concurrency: number;
  readonly output?: string;
  readonly json?: boolean;
}

export interface Result extends Metric {
  /** 95 %: Wilson's for shares, else the normal one; left out where lm-eval gives no error. */
  readonly interval?: Interval;
}

export interface Evaluation {
  readonly target: Target;
  readonly results: readonly Result[];
  readonly outcome: Outcome;
}

/** Metrics that count right answers. */
const shares = new Set(["acc", "acc_norm", "exact_match"]);
/** Texts whose distributions two servers are compared on. */
const comparedTexts = 128;

export async function runEval(options: EvalOptions): Promise<void> {
  const progress = process.stderr.isTTY
    ? (text: string): boolean => process.stderr.write(text)
    : undefined;
  const python = harnessPython();
  const first = await evaluate(options, { python, progress });
  if (options.compare === undefined) {
    const { target, results } = first;
    print(options, table(target, results), { server: shown(target), results });
    return;
  }
  const second = await evaluate({ ...options, url: options.compare }, { python, progress });
  const pair = await compare(first, second);
  const text = [
    table(first.target, first.results),
    table(second.target, second.results),
    comparisonTable(pair.tasks, pair.divergence),
  ].join("\n\n");
  const servers = [first, second].map(({ target, results }) => ({
    server: shown(target),
    results,
  }));
  print(options, text, { servers, comparison: pair });
}

/** The Python in which lm-eval is; made if need be, which takes a minute or two. */
export function harnessPython(folder = join(cacheFolder(), "lm-eval")): string {
  const text = readFileSync(installed("apps/eval/requirements.txt"), "utf8");
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return pythonEnvironment(folder, lines);
}

/** Runs the tasks on one server. Throws `unavailable` where it or the harness fails. */
export async function evaluate(
  options: EvalOptions,
  { python, progress }: Pick<HarnessOptions, "python" | "progress">,
): Promise<Evaluation> {
  const target = await connect(options);
  const work = mkdtempSync(join(tmpdir(), "wrinklefree-eval-"));
  const output = options.output === undefined ? work : resolve(options.output);
  mkdirSync(output, { recursive: true });
  try {
    const { chat = false, limit, numFewshot, concurrency } = options;
    const outcomes: Outcome[] = [];
    for (const group of taskGroups(options.tasks, chat, work)) {
      const own = { python, progress, chat, limit, numFewshot, concurrency };
      outcomes.push(await runHarness(target, group, output, own));
    }
    const outcome = {
      metrics: outcomes.flatMap(({ metrics }) => metrics),
      samples: outcomes.flatMap(({ samples }) => samples),
    };
    const results = outcome.metrics.map((metric) => ({ ...metric, interval: interval(metric) }));
    return { target, results, outcome };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

export async function compare(
  first: Evaluation,
  second: Evaluation,
): Promise<{ tasks: TaskComparison[]; divergence: Divergence | null }> {
  const tasks = compareSamples(first.outcome.samples, second.outcome.samples);
  const texts = scoredTexts(first.outcome.samples, comparedTexts);
  const apart = texts.length > 0 && (await divergence(first.target, second.target, texts));
  return { tasks, divergence: apart || null };
}

function interval({ name, value, stderr, count }: Metric): Interval | undefined {
  if (count > 0 && shares.has(name)) return wilson(value, count);
  return stderr === undefined ? undefined : normal(value, stderr);
}

interface ListedModel {
  readonly id: string;
  readonly max_model_len?: number;
  readonly meta?: { readonly n_ctx?: number };
}

const defaultContext = 2048;

async function connect({ url: given, apiKey, model }: EvalOptions): Promise<Target> {
  const url = given.replace(/\/+$/, "").replace(/\/v1(\/(chat\/)?completions)?$/, "");
  const headers = authorization({ apiKey });
  const reply = await fetch(`${url}/v1/models`, { headers }).catch((cause: unknown) => {
    throw new WrinkleFreeError("unavailable", `${url} does not answer`, {
      flag: "--url",
      hint: "start the server, or correct the address",
      cause,
    });
  });
  const body = (await reply.json().catch(() => ({}))) as { data?: ListedModel[] };
  const listed = body.data?.find(({ id }) => id === model) ?? body.data?.[0];
  const contextLength = listed?.max_model_len ?? listed?.meta?.n_ctx ?? defaultContext;
  return { url, apiKey, model: model ?? listed?.id ?? "default", contextLength };
}

const shown = ({ url, model }: Target): object => ({ url, model });

function print(options: EvalOptions, text: string, json: object): void {
  console.log(options.json ? JSON.stringify(json, undefined, 2) : text);
}

function table({ url, model }: Target, results: readonly Result[]): string {
  const head = ["task", "metric", "value", "95 % interval", "examples"];
  const rows = results.map(({ task, name, value, interval, count }) => {
    const range = interval ? interval.map(decimals).join(" .. ") : "-";
    return [task, name, decimals(value), range, String(count)];
  });
  return `${url}: ${model}\n${columns([head, ...rows])}`;
}

function comparisonTable(tasks: readonly TaskComparison[], apart: Divergence | null): string {
  const lines = tasks.map(({ task, count, agreement, loglikelihood, scores }) => {
    const parts = [
      agreement !== undefined && `same choice ${(100 * agreement).toFixed(1)} %`,
      loglikelihood &&
        `loglikelihood ${signed(loglikelihood.mean)} on average, ${decimals(loglikelihood.largest)} at most`,
      ...Object.entries(scores).map(([name, { difference, interval }]) => {
        return `${name} ${signed(difference)} (${interval.map(signed).join(" .. ")})`;
      }),
    ];
    return `${task}, ${count} examples: ${parts.filter(Boolean).join("; ")}`;
  });
  if (apart) {
    lines.push(
      `${apart.positions} positions: KL ${apart.kl_mean.toExponential(2)} nats on average, ` +
        `${apart.kl_max.toExponential(2)} at most; same likeliest token ` +
        `${(100 * apart.top1_agreement).toFixed(2)} %; ${apart.other_tokens} texts of other tokens`,
    );
  }
  return `the second less the first:\n${lines.join("\n")}`;
}

const decimals = (value: number): string => value.toFixed(4);
const signed = (value: number): string => `${value < 0 ? "" : "+"}${decimals(value)}`;

function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ");
  return rows.map((row) => line(row).trimEnd()).join("\n");
}
