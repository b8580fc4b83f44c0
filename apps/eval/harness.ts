// Runs lm-eval on a server and reads what it wrote.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WrinkleFreeError } from "../../core/index.ts";
import type { TaskGroup } from "./tasks.ts";

export interface Target {
  /** Without /v1. */
  readonly url: string;
  readonly apiKey?: string;
  readonly model: string;
  readonly contextLength: number;
}

export function authorization({ apiKey }: Pick<Target, "apiKey">): Record<string, string> {
  return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
}

export interface HarnessOptions {
  readonly python: string;
  readonly chat: boolean;
  readonly limit?: number;
  readonly numFewshot?: number;
  readonly concurrency: number;
  /** Hears lm-eval's own words. */
  readonly progress?: (text: string) => void;
}

/** One number of a task. */
export interface Metric {
  readonly task: string;
  readonly name: string;
  readonly value: number;
  readonly stderr?: number;
  /** Examples. */
  readonly count: number;
}

/** One example as lm-eval logs it. */
export interface Sample {
  readonly task: string;
  readonly id: number;
  /** Context and continuation (or the generation's settings) of each request. */
  readonly requests: readonly (readonly [string, unknown])[];
  /** Log-likelihood of each request, in nats; empty for a generation. */
  readonly logprobs: readonly number[];
  /** Generated texts. */
  readonly texts: readonly string[];
  /** Of metrics that have one number an example. */
  readonly scores: Readonly<Record<string, number>>;
}

export interface Outcome {
  readonly metrics: readonly Metric[];
  readonly samples: readonly Sample[];
}

type Json = Record<string, unknown>;

/** Runs one group; its files are left in a folder below `output`. Throws `unavailable` if it fails. */
export async function runHarness(
  target: Target,
  group: TaskGroup,
  output: string,
  options: HarnessOptions,
): Promise<Outcome> {
  mkdirSync(output, { recursive: true });
  const folder = mkdtempSync(join(output, "lm-eval-"));
  const config = join(folder, "config.yaml");
  // A file and not flags: other users of the machine see flags, and a key is in them.
  writeFileSync(config, JSON.stringify(configuration(target, group, folder, options)), {
    mode: 0o600,
  });
  const offline = group.local ? { HF_HUB_OFFLINE: "1", HF_DATASETS_OFFLINE: "1" } : {};
  const child = Bun.spawn([options.python, "-m", "lm_eval", "run", "--config", config], {
    cwd: group.folder,
    env: {
      ...process.env,
      PYTHONDONTWRITEBYTECODE: "1",
      OPENAI_API_KEY: target.apiKey ?? "",
      ...offline,
    },
    stdout: "ignore",
    stderr: "pipe",
  });
  const lines: string[] = [];
  const decoder = new TextDecoder();
  for await (const bytes of child.stderr) {
    const text = decoder.decode(bytes, { stream: true });
    options.progress?.(text);
    lines.push(...text.split(/[\r\n]+/).filter((line) => line.trim() !== ""));
    lines.splice(0, lines.length - 20);
  }
  const code = await child.exited;
  rmSync(config);
  if (code !== 0) {
    throw new WrinkleFreeError("unavailable", `lm-eval ended with ${code}: ${lines.at(-1)}`, {
      hint: `it was asked for ${group.tasks.join(", ")}`,
    });
  }
  return readOutcome(folder, target.apiKey);
}

function configuration(
  target: Target,
  group: TaskGroup,
  folder: string,
  { chat, limit, numFewshot, concurrency }: HarnessOptions,
): Json {
  const common = {
    model: target.model,
    num_concurrent: concurrency,
    max_length: target.contextLength,
    ...(target.apiKey !== undefined && { auth_token: target.apiKey }),
  };
  const plain = { base_url: `${target.url}/v1/completions`, tokenizer_backend: "remote" };
  return {
    model: chat ? "local-chat-completions" : "local-completions",
    model_args: {
      ...common,
      ...(chat ? { base_url: `${target.url}/v1/chat/completions` } : plain),
    },
    tasks: group.tasks,
    include_path: group.folder,
    apply_chat_template: chat,
    log_samples: true,
    output_path: join(folder, "output"),
    ...(limit !== undefined && { limit }),
    ...(numFewshot !== undefined && { num_fewshot: numFewshot }),
  };
}

/** The API key, which lm-eval writes beside its results, is taken out of them. */
function readOutcome(folder: string, apiKey: string | undefined): Outcome {
  const output = join(folder, "output");
  const files = readdirSync(output, { recursive: true, encoding: "utf8" }).sort();
  const results = files.find((name) => /(^|[\\/])results_[^\\/]*\.json$/.test(name));
  if (results === undefined) {
    throw new WrinkleFreeError("unavailable", "lm-eval wrote no results", { file: output });
  }
  const path = join(output, results);
  const whole = readFileSync(path, "utf8");
  if (apiKey !== undefined) writeFileSync(path, whole.replaceAll(JSON.stringify(apiKey), '"..."'));
  const samples = files.flatMap((name) => {
    const task = /(?:^|[\\/])samples_(.+)_[^_]+\.jsonl$/.exec(name)?.[1];
    if (task === undefined) return [];
    const lines = readFileSync(join(output, name), "utf8").trim().split("\n");
    return lines.map((line) => readSample(task, JSON.parse(line) as Json));
  });
  return { metrics: readMetrics(JSON.parse(whole) as Json), samples };
}

function readMetrics(whole: Json): Metric[] {
  const counts = whole["n-samples"] as Record<string, { effective: number }>;
  return Object.entries(whole.results as Record<string, Json>).flatMap(([task, values]) =>
    Object.entries(values).flatMap(([key, value]) => {
      const [name, filter] = key.split(",") as [string, string | undefined];
      if (filter === undefined || name.endsWith("_stderr") || typeof value !== "number") return [];
      const stderr = values[`${name}_stderr,${filter}`];
      return {
        task,
        name: filter === "none" ? name : `${name} (${filter})`,
        value,
        ...(typeof stderr === "number" && { stderr }),
        count: counts[task]?.effective ?? 0,
      };
    }),
  );
}

function readSample(task: string, line: Json): Sample {
  const requests = Object.values(line.arguments as Record<string, Json>).map(
    ({ arg_0, arg_1 }) => [String(arg_0), arg_1] as const,
  );
  // A loglikelihood is [number, greedy?], of a whole text the number only; all as texts.
  const answers = (line.resps as unknown[][]).map(([first]) => first);
  const numbers = answers.map((answer) => Number(Array.isArray(answer) ? answer[0] : answer));
  const generated = requests.some(([, second]) => typeof second === "object" && second !== null);
  const scores = (line.metrics as string[]).flatMap((name) =>
    typeof line[name] === "number" ? [[name, line[name]] as const] : [],
  );
  return {
    task,
    id: Number(line.doc_id),
    requests,
    logprobs: generated ? [] : numbers,
    texts: generated ? answers.map(String) : [],
    scores: Object.fromEntries(scores),
  };
}
