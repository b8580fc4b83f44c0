// Which tasks names and files mean, and what is refused.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { taskGroups } from "../../apps/eval/tasks.ts";
import type { WrinkleFreeError } from "../../core/index.ts";

const work = mkdtempSync(join(tmpdir(), "wf-eval-tasks-"));
afterAll(() => rmSync(work, { recursive: true }));

const file = (name: string, text: string): string => {
  const path = join(work, name);
  writeFileSync(path, text);
  return path;
};

test("suites, lm-eval's own tasks and files, by the folder they run in", () => {
  const own = file("mine.yaml", "# mine\ntask: my_task\ndataset_path: json\n");
  const groups = taskGroups(
    ["smoke", "arc_easy", "bitdistill", own, "piqa"],
    false,
    "/work-folder",
  );
  expect(groups.map(({ tasks, local }) => [tasks.join(" "), local])).toEqual([
    ["smoke_choice smoke_text", true],
    ["mnli qnli sst2 bitdistill_summary", false],
    ["my_task", false],
    ["arc_easy piqa", false],
  ]);
  expect(groups[2]?.folder).toBe(work);
  expect(taskGroups(["smoke"], true, work)[0]?.tasks).toEqual(["smoke_chat"]);
});

test("a file of choices becomes a task", () => {
  const row = { context: "The sky is", choices: ["blue", "square"], answer: 0 };
  const path = file("my questions.jsonl", `${JSON.stringify(row)}\n`);
  expect(taskGroups([path], false, work)).toEqual([
    { folder: work, tasks: ["my_questions"], local: true },
  ]);
  const written = JSON.parse(readFileSync(join(work, "my_questions.yaml"), "utf8"));
  expect(written).toMatchObject({ output_type: "multiple_choice", doc_to_target: "answer" });
});

test("what is wrong is said with file and line", () => {
  const good = '{"context": "a", "choices": ["b", "c"], "answer": 1}\n';
  const bad: [string, string][] = [
    ["{", "not JSON"],
    ["null", '"context"'],
    ['{"context": "a", "choices": ["b"], "answer": 0}', '"choices" must be two texts'],
    ['{"context": "a", "choices": ["b", 3], "answer": 0}', '"choices" must be texts'],
    ['{"context": "a", "choices": ["b", "c"], "answer": 2}', '"answer"'],
    ['{"context": "a", "choices": ["b", "c"], "answer": "map"}', '"answer"'],
  ];
  for (const [line, text] of bad) {
    const path = file("bad.jsonl", good + line);
    expect(() => taskGroups([path], false, work)).toThrow(`bad.jsonl, line 2: ${text}`);
  }
  const codeOf = (run: () => unknown): string | undefined => {
    try {
      run();
      return undefined;
    } catch (error) {
      return (error as WrinkleFreeError).code;
    }
  };
  expect(codeOf(() => taskGroups(["none.jsonl"], false, work))).toBe("not_found");
  expect(codeOf(() => taskGroups([file("x.yaml", "group: y\n")], false, work))).toBe("bad_file");
  expect(codeOf(() => taskGroups([file("q.jsonl", good)], true, work))).toBe("usage");
});
