// The serve command as a process: what it says, how it reads flags and environment, how it stops.
import { describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { plainFlags } from "../../apps/server/command.ts";
import { templateSource } from "../../apps/server/templates.ts";
import { ChatTemplate } from "../../core/index.ts";

const cli = "apps/cli/main.ts";

function run(args: string[], env: Record<string, string> = {}) {
  return Bun.spawn([process.execPath, cli, "serve", ...args], {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, NO_COLOR: "1", ...env },
  });
}

async function failed(args: string[], env: Record<string, string> = {}) {
  const child = run(args, env);
  const [code, text] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  return { code, text };
}

/** Reads standard output until it holds `needle`. */
async function readUntil(stream: ReadableStream<Uint8Array>, needle: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes(needle)) return text;
  }
  throw new Error(`the server ended, saying: ${text}`);
}

test("serves the built-in model, says so, answers its own curl, and stops on a signal", async () => {
  const child = run(["--port", "0", "-t", "1", "--log-level", "silent"], { WF_CTX_SIZE: "256" });
  try {
    const text = await readUntil(child.stdout, "Ready.");
    expect(text).toContain("built-in");
    expect(text).toContain("-m FILE");
    const url = /curl (http:\S+)\/v1\/chat/.exec(text)?.[1];
    const body = /-d '(.*)'/.exec(text)?.[1];
    const reply = await fetch(`${url}/v1/chat/completions`, { method: "POST", body });
    expect(reply.status).toBe(200);
    const props = (await (await fetch(`${url}/props`)).json()) as Record<string, never>;
    expect(props).toMatchObject({ default_generation_settings: { n_ctx: 256 } });
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
  }
});

test("serves two models with aliases, keys and a certificate that a file names", async () => {
  const folder = await mkdtemp(join(tmpdir(), "wf-serve-"));
  const config = join(folder, "serve.toml");
  await writeFile(join(folder, "keys"), "first-key\nsecond-key\n");
  await writeFile(
    config,
    `model = ["test/fixtures/gguf/tern-i2_s.gguf", "test/fixtures/gguf/tern-tq2_0.gguf"]
alias = ["small", "large"]
ctx-size = 128
threads = 1
parallel = 2
kv-memory = "8m"
log-level = "silent"
api-key-file = "${join(folder, "keys")}"
ssl-key-file = "test/server/tls/key.pem"
ssl-cert-file = "test/server/tls/cert.pem"
`,
  );
  const child = run(["--config", config, "--port", "0", "-c", "96"], { WF_METRICS: "0" });
  try {
    const text = await readUntil(child.stdout, "Ready.");
    const url = /on (https:\S+) \(loading\)/.exec(text)?.[1];
    const tls = { ca: await readFile("test/server/tls/cert.pem", "utf8") };
    const ask = (model: string, key: string) =>
      fetch(`${url}/v1/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}` },
        body: JSON.stringify({ model, prompt: "Once", max_tokens: 2 }),
        tls,
      });
    for (const [model, key] of [
      ["small", "first-key"],
      ["large", "second-key"],
    ] as const) {
      const reply = await ask(model, key);
      expect(await reply.json()).toMatchObject({ model, usage: { completion_tokens: 2 } });
    }
    expect((await ask("small", "third-key")).status).toBe(401);
    expect((await ask("other", "first-key")).status).toBe(404);
    const models = (await (await fetch(`${url}/v1/models`, { tls })).json()) as {
      data: { max_model_len: number }[];
    };
    expect(models.data.map((model) => model.max_model_len)).toEqual([96, 96]);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
    await rm(folder, { recursive: true });
  }
});

describe("wrong flags", () => {
  const cases: [args: string[], code: number, text: string, env?: Record<string, string>][] = [
    [["--port", "x"], 2, "--port"],
    [["--port", "70000"], 2, "65535"],
    [["--prot", "1"], 2, "Did you mean --port?"],
    [["-c", "-5"], 2, "--ctx-size"],
    [["--cache-type-k", "q9"], 2, "f16, q8_0"],
    [["-m", "no/such/file.gguf"], 1, "no/such/file.gguf"],
    [["-m", "package.json"], 1, "package.json"],
    [["--config", "no/such.toml"], 2, "no/such.toml"],
    [["--metrics-alias", "grafana"], 2, "vllm and sglang"],
    [["--ssl-key-file", "package.json"], 2, "--ssl-cert-file"],
    [["--api-key-file", "no/keys"], 2, "no/keys"],
    [["--chat-template", "{% if %}"], 1, "template"],
    [["--chat-template", "no-such-name"], 2, "chatml"],
    [["--plugin", "no-such-plugin"], 1, "no-such-plugin"],
    [[], 2, "LLAMA_ARG_CTX_SIZE=x", { LLAMA_ARG_CTX_SIZE: "x" }],
  ];
  for (const [args, code, text, env] of cases) {
    test(args.join(" ") || text, async () => {
      const result = await failed(
        [...args, ...(args.includes("--port") ? [] : ["--port", "0"])],
        env,
      );
      expect(result.text).toContain(text);
      expect(result.text).toStartWith("error: ");
      expect(result.code).toBe(code);
    });
  }
});

test("llama-server's spellings become ours, and what means nothing here is dropped", () => {
  const given = [
    "-np",
    "4",
    "-cb",
    "-tb",
    "2",
    "--context-length=512",
    "-ub",
    "64",
    "--jinja",
    "-c",
    "9",
  ];
  expect(plainFlags(given)).toEqual(["--parallel", "4", "--ctx-size=512", "-c", "9"]);
});

test("named templates render", () => {
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hi" },
  ];
  const render = (name: string): string =>
    new ChatTemplate(templateSource(name), { bosToken: "<s>" }).render(messages);
  expect(render("plain")).toBe("<s>System: Be brief.\nUser: Hi\nAssistant:");
  expect(render("chatml")).toBe(
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
  );
  expect(render("bitnet")).toBe("<s>System: Be brief.<|eot_id|>User: Hi<|eot_id|>Assistant: ");
  expect(render("llama3")).toEndWith(
    "Hi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
  );
});
