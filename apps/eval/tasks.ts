// Which tasks are meant: the shipped ones, a file, or names that lm-eval knows.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import { WrinkleFreeError } from "../../core/index.ts";
import { installed } from "../../core/installation.ts";

/** Tasks that one run of lm-eval does. */
export interface TaskGroup {
  /** Where their files are: lm-eval runs here, so that names of data files are relative to it. */
  readonly folder: string;
  readonly tasks: readonly string[];
  /** Nothing of it comes from the hub. */
  readonly local: boolean;
}

interface Suite {
  /** Tasks by loglikelihood and by generation, and the ones for a chat. */
  readonly plain: readonly string[];
  readonly chat: readonly string[];
  readonly local: boolean;
}

const suites: Readonly<Record<string, Suite>> = {
  smoke: { plain: ["smoke_choice", "smoke_text"], chat: ["smoke_chat"], local: true },
  bitdistill: {
    plain: ["mnli", "qnli", "sst2", "bitdistill_summary"],
    chat: ["bitdistill_summary"],
    local: false,
  },
};

/**
 * Groups of tasks for lm-eval. `work`: a folder for task files that are made here. Throws `not_found`
 * for a file that is not there, `bad_file` for one that is no task, `usage` for questions as a chat.
 */
export function taskGroups(names: readonly string[], chat: boolean, work: string): TaskGroup[] {
  const groups = names.map((name) => taskGroup(name, chat, work));
  const own = groups.filter(({ folder }) => folder === work);
  const rest = groups.filter(({ folder }) => folder !== work);
  if (own.length === 0) return rest;
  const tasks = own.flatMap((group) => group.tasks);
  return [...rest, { folder: work, tasks, local: own.every(({ local }) => local) }];
}

function taskGroup(name: string, chat: boolean, work: string): TaskGroup {
  const suite = Object.hasOwn(suites, name) ? suites[name] : undefined;
  if (suite) {
    const folder = installed(`apps/eval/tasks/${name}`);
    return { folder, tasks: chat ? suite.chat : suite.plain, local: suite.local };
  }
  const kind = extname(name);
  if (![".jsonl", ".yaml", ".yml"].includes(kind)) {
    return { folder: work, tasks: [name], local: false };
  }
  if (!existsSync(name)) {
    throw new WrinkleFreeError("not_found", `${name} is not there`, { flag: "--tasks" });
  }
  if (kind === ".jsonl") return choiceTask(name, chat, work);
  const task = /^task:\s*["']?([\w.-]+)/m.exec(readFileSync(name, "utf8"))?.[1];
  if (task === undefined) {
    throw new WrinkleFreeError("bad_file", `${name} names no task ("task: NAME")`, { file: name });
  }
  return { folder: dirname(resolve(name)), tasks: [task], local: false };
}

/** A multiple-choice task of a file of {context, choices, answer}; answer: index of the right one. */
function choiceTask(path: string, chat: boolean, work: string): TaskGroup {
  if (chat) {
    throw new WrinkleFreeError("usage", `${path}: choices are compared by their likelihood`, {
      flag: "--chat",
      hint: "leave --chat out",
    });
  }
  const lines = readFileSync(path, "utf8").split("\n");
  for (const [i, line] of lines.entries()) if (line.trim() !== "") checkChoice(path, line, i + 1);
  const task = basename(path, ".jsonl").replace(/[^\w.-]/g, "_");
  const definition = {
    task,
    dataset_path: "json",
    dataset_kwargs: { data_files: { test: resolve(path) } },
    output_type: "multiple_choice",
    test_split: "test",
    doc_to_text: "{{context}}",
    doc_to_choice: "choices",
    doc_to_target: "answer",
    metric_list: [{ metric: "acc" }, { metric: "acc_norm" }],
    metadata: { version: 1 },
  };
  // JSON is YAML.
  writeFileSync(join(work, `${task}.yaml`), JSON.stringify(definition));
  return { folder: work, tasks: [task], local: true };
}

function checkChoice(file: string, line: string, number: number): void {
  const problem = problemOf(line);
  if (problem === undefined) return;
  throw new WrinkleFreeError("bad_file", `${file}, line ${number}: ${problem}`, { file });
}

function problemOf(line: string): string | undefined {
  let row: { context?: unknown; choices?: unknown; answer?: unknown } | null;
  try {
    row = JSON.parse(line);
  } catch {
    return "not JSON";
  }
  const { context, choices, answer } = row ?? {};
  if (typeof context !== "string") return '"context" must be a text';
  if (!Array.isArray(choices) || choices.length < 2) return '"choices" must be two texts or more';
  if (!choices.every((choice) => typeof choice === "string")) return '"choices" must be texts';
  const right = Number.isInteger(answer) && (answer as number) in choices;
  return right ? undefined : '"answer" must be the index of a choice';
}
