// wrinklefree batch: killed twice and resumed, shards, errors a line, equal to a server's answers.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRegistry } from "../../apps/plugins.ts";
import { builtInModel } from "../../apps/server/built-in.ts";
import { type RunningServer, startServer } from "../../apps/server/serve.ts";
import { root, run } from "../support/stranger.ts";

interface Line {
  readonly id: string;
  readonly custom_id: string | null;
  readonly response: { status_code: number; body: Body } | null;
  readonly error: { code: string; message: string } | null;
}
interface Body {
  readonly choices?: { text?: string; message?: { content: string }; finish_reason: string }[];
  readonly usage?: object;
}

const folder = mkdtempSync(join(tmpdir(), "wf-batch-"));
const input = join(folder, "in.jsonl");
const cli = [process.execPath, "apps/cli/main.ts", "batch"];
const batch = (...args: string[]) => run([...cli, input, "-t", "1", ...args], root);
const read = (path: string): Line[] =>
  readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

const words = ["cat", "dog", "tree", "boat", "girl", "king", "song"];
const requests = Array.from({ length: 300 }, (_, i) => {
  const subject = `${words[i % 7]} and a ${words[Math.floor(i / 7) % 7]}`;
  const sampling = { max_tokens: 4 + (i % 9), seed: i, temperature: i % 2 };
  const chat = i % 3 === 0;
  const body = chat
    ? { messages: [{ role: "user", content: `A story of a ${subject}` }], ...sampling }
    : { prompt: `There was a ${subject} ${i}`, ...sampling };
  const url = chat ? "/v1/chat/completions" : "/v1/completions";
  return { custom_id: `request-${i}`, method: "POST", url, body };
});

let server: RunningServer;
beforeAll(async () => {
  writeFileSync(input, requests.map((line) => `${JSON.stringify(line)}\n`).join(""));
  const registry = await createRegistry();
  const models = [{ model: builtInModel(), threads: 1, maxSequences: 4 }];
  server = startServer({ registry, models, port: 0 });
  await server.ready;
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** What is the same in two answers to one request. */
const essence = ({ choices, usage }: Body) => ({
  choices: choices?.map((choice) => [choice.text ?? choice.message, choice.finish_reason]),
  tokens: (usage as { completion_tokens?: number }).completion_tokens,
});

/** Starts a batch and kills it once its file of answers is longer than `bytes`. */
async function killed(output: string, bytes: number): Promise<void> {
  const command = [...cli, input, "-t", "1", "-o", output, "--parallel", "8"];
  const child = Bun.spawn(command, { cwd: root, stdout: "ignore", stderr: "ignore" });
  const partial = `${output}.partial`;
  while ((statSync(partial, { throwIfNoEntry: false })?.size ?? 0) < bytes) await Bun.sleep(2);
  child.kill("SIGKILL");
  await child.exited;
  expect(existsSync(output)).toBe(false);
}

test("killed twice and cut off, every line is answered once, as a server answers it", async () => {
  const output = join(folder, "out.jsonl");
  const partial = `${output}.partial`;
  await killed(output, 10_000);
  await killed(output, statSync(partial).size + 20_000);
  // The last answer as a full disk or a crash leaves it.
  const bytes = readFileSync(partial);
  writeFileSync(partial, bytes.subarray(0, bytes.length - 30));
  const { code, out } = await batch("-o", output);
  expect({ code, there: / answered, \d+ were there, 0 with an error/.test(out) }).toEqual({
    code: 0,
    there: true,
  });
  const answers = read(output);
  expect(answers.map(({ custom_id }) => custom_id).sort()).toEqual(
    requests.map(({ custom_id }) => custom_id).sort(),
  );
  const found = new Map(answers.map((line) => [line.custom_id, line.response]));
  for (const { custom_id, url, body } of requests) {
    const headers = { "content-type": "application/json" };
    const init = { method: "POST", headers, body: JSON.stringify(body) };
    const online = (await (await fetch(`${server.url}${url}`, init)).json()) as Body;
    const offline = found.get(custom_id);
    expect({ custom_id, status: offline?.status_code, ...essence(offline!.body) }).toEqual({
      custom_id,
      status: 200,
      ...essence(online),
    });
  }
});

test("shards take every line once between them, from a server too", async () => {
  const shards = ["1/3", "2/3", "3/3"].map((shard) => ({ shard, output: join(folder, shard[0]!) }));
  for (const { shard, output } of shards) {
    const { code } = await batch("-o", output, "--shard", shard, "--url", server.url);
    expect(code).toBe(0);
  }
  const parts = shards.map(({ output }) => read(output));
  expect(parts.map((part) => part.length)).toEqual([100, 100, 100]);
  expect(new Set(parts.flat().map(({ id }) => id)).size).toBe(300);
});

describe("a line that cannot be asked", () => {
  const lines = [
    `{"custom_id": "good", "url": "/v1/completions", "body": {"prompt": "A", "max_tokens": 1}}`,
    "",
    "no JSON",
    `{"url": "/v1/completions", "body": {}}`,
    `{"custom_id": "admin", "url": "/v1/models", "body": {}}`,
    `{"custom_id": "stream", "url": "/v1/completions", "body": {"stream": true}}`,
    `{"custom_id": "refused", "url": "/v1/completions", "body": {"prompt": "A", "max_tokens": -7}}`,
  ];
  const path = join(folder, "odd.jsonl");
  const ask = (...args: string[]) => run([...cli, path, "--url", server.url, ...args], root);

  test("is answered with its error; the others are not held up", async () => {
    writeFileSync(path, lines.join("\n"));
    expect((await ask()).code).toBe(0);
    const answers = new Map(read(join(folder, "odd.out.jsonl")).map((line) => [line.id, line]));
    expect(answers.size).toBe(6);
    expect(answers.get("batch_req_1")?.response?.status_code).toBe(200);
    for (const number of [3, 4, 5, 6]) {
      const { response, error } = answers.get(`batch_req_${number}`)!;
      expect({ response, code: error?.code }).toEqual({ response: null, code: "invalid_line" });
      expect(error?.message).toStartWith(`line ${number}: `);
    }
    expect(answers.get("batch_req_7")?.response?.status_code).toBe(400);
  });

  test("or belongs to another file, or has another's name, is refused", async () => {
    expect((await ask()).error).toContain("odd.out.jsonl is there already");
    writeFileSync(join(folder, "x.partial"), `{"id":"batch_req_1","custom_id":"other"}\n`);
    expect((await ask("-o", join(folder, "x"))).error).toContain("line 1 was other, not good");
    writeFileSync(path, `${lines[0]}\n${lines[0]}\n`);
    const twice = await ask("-o", join(folder, "y"));
    expect(twice.error).toContain("lines 1 and 2 have one custom_id, good");
    expect(twice.code).toBe(2);
  });
});
