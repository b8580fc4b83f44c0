// /infill: the prompt in llama.cpp's order for a model with the tokens, and a clear 501 without.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunningServer } from "../../apps/server/serve.ts";
import { post, testServer } from "./support.ts";

const special = {
  prefix: "<|fim_prefix|>",
  suffix: "<|fim_suffix|>",
  middle: "<|fim_middle|>",
  repository: "<|repo_name|>",
  file: "<|file_sep|>",
};

let folder: string;
let server: RunningServer;

/** The fixture with its reserved tokens renamed to those of infill. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wf-infill-"));
  await cp("test/fixtures/tern/hf-packed", folder, { recursive: true });
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) {
    let text = await readFile(join(folder, file), "utf8");
    for (const [i, name] of Object.values(special).entries()) {
      text = text.replaceAll(`<|reserved_special_token_${i}|>`, name);
    }
    await writeFile(join(folder, file), text);
  }
  const model = { model: folder, aliases: ["coder"], contextLength: 256, threads: 1 };
  server = await testServer({ models: [{ ...model, maxSequences: 4 }] });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

const body = {
  input_prefix: "def add(a, b):\n",
  input_suffix: "\nprint(add(1, 2))",
  n_predict: 4,
  ignore_eos: true,
};
const framed = (extra: string, gap = ""): string =>
  [
    `<|begin_of_text|>${special.repository}myproject\n${extra}${special.file}filename\n`,
    `${special.prefix}${body.input_prefix}${gap}`,
    `${special.suffix}${body.input_suffix}${special.middle}`,
  ].join("");

test("frames prefix, begun text and suffix with the model's tokens", async () => {
  const { status, json } = await post(`${server.url}/infill`, { ...body, prompt: "  return" });
  expect(status).toBe(200);
  expect(json.prompt).toBe(framed("", "  return"));
  expect(json).toMatchObject({ stop: true, tokens_predicted: 4, model: "coder" });
});

test("puts other files in front, each under its name", async () => {
  const input_extra = [{ text: "one = 1\n", filename: "one.py" }, { text: "two = 2\n" }];
  const { json } = await post(`${server.url}/infill`, { ...body, input_extra });
  const files = `${special.file}one.py\none = 1\n${special.file}tmp\ntwo = 2\n`;
  expect(json.prompt).toBe(framed(files));
});

test("does not read special tokens in what the user wrote", async () => {
  const { json } = await post(`${server.url}/infill`, { ...body, input_prefix: special.middle });
  const plain = await post(`${server.url}/infill`, { ...body, input_prefix: "" });
  expect(json.tokens_evaluated).toBeGreaterThan(plain.json.tokens_evaluated + 3);
});

test("streams", async () => {
  const request = JSON.stringify({ ...body, stream: true });
  const reply = await fetch(`${server.url}/infill`, { method: "POST", body: request });
  expect(await reply.text()).toContain('"stop":true');
});

test("mistakes are 400s that name the field", async () => {
  for (const [wrong, param] of [
    [{ input_suffix: "" }, "input_prefix"],
    [{ input_prefix: "" }, "input_suffix"],
    [{ ...body, input_extra: "x" }, "input_extra"],
    [{ ...body, input_extra: [{ filename: "a" }] }, "input_extra[0].text"],
    [{ ...body, prompt: 5 }, "prompt"],
    [{ ...body, input_prefix: [1, -1] }, "input_prefix[1]"],
    [{ ...body, input_prefix: "word ".repeat(400) }, "prompt"],
  ] as const) {
    const { status, json } = await post(`${server.url}/infill`, wrong);
    expect([status, json.error?.param]).toEqual([400, param]);
  }
});

test("a model without the tokens says which it lacks, with 501", async () => {
  const plain = await testServer();
  try {
    const { status, json } = await post(`${plain.url}/infill`, body);
    expect(status).toBe(501);
    expect(json.error.type).toBe("not_supported_error");
    expect(json.error.message).toBe(
      "Infill is not supported by this model: prefix token is missing. " +
        "suffix token is missing. middle token is missing.",
    );
  } finally {
    await plain.stop();
  }
});
