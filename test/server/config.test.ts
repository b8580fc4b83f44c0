// Where the serve command's flags come from: command line, environment, file; and which one wins.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serveCommand } from "../../apps/server/command.ts";
import { readConfigFile } from "../../apps/server/config-file.ts";
import { flagGroups } from "../../apps/server/flag-list.ts";
import { samplingDefaults } from "../../apps/server/flag-list-sampling.ts";
import { readEnvironment } from "../../apps/server/flags.ts";
import type { ServeFlags } from "../../apps/server/serve-flags.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wf-config-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** The flags of a command line with an environment and a file, without running anything. */
async function flags(
  args: string[],
  environment: Record<string, string> = {},
  file?: [name: string, text: string],
): Promise<ServeFlags> {
  const command = serveCommand().exitOverride();
  command.configureOutput({ writeErr: () => {} });
  command.action(() => {});
  command.parse(args, { from: "user" });
  if (file) {
    const path = join(folder, file[0]);
    await writeFile(path, file[1]);
    readConfigFile(command, flagGroups, path);
  }
  readEnvironment(command, flagGroups, environment);
  return command.opts<ServeFlags>();
}

async function refusal(...args: Parameters<typeof flags>): Promise<string> {
  const error = await flags(...args).then(
    () => undefined,
    (error) => error as Error,
  );
  return error?.message ?? "taken";
}

describe("a file", () => {
  test("in TOML sets flags by their long names, lists and switches too", async () => {
    const text = `
model = ["a.gguf", "b.gguf"]
ctx-size = 2048
metrics = true
no-slots = true
temp = 0.3
api_key = "one,two"
kv-memory = "2g"
n-gpu-layers = 99
`;
    const read = await flags([], {}, ["serve.toml", text]);
    expect(read).toMatchObject({
      model: ["a.gguf", "b.gguf"],
      ctxSize: 2048,
      metrics: true,
      slots: false,
      apiKey: ["one", "two"],
      kvMemory: 2 * 2 ** 30,
    });
    expect(samplingDefaults(read)).toEqual({ temperature: 0.3 });
  });

  test("in JSON too, and llama-server's other names", async () => {
    const text = JSON.stringify({ "served-model-name": "x", "cache-prompt": true, top_k: 5 });
    const read = await flags([], {}, ["serve.json", text]);
    expect(read.alias).toEqual(["x"]);
    expect(samplingDefaults(read)).toEqual({ top_k: 5 });
  });

  test("gives way to the environment, and both to the command line", async () => {
    const file: [string, string] = ["order.toml", "ctx-size = 1\nport = 1\nparallel = 1"];
    const read = await flags(["-c", "3"], { WF_CTX_SIZE: "2", WF_PORT: "2" }, file);
    expect([read.ctxSize, read.port, read.parallel]).toEqual([3, 2, 1]);
  });

  test("that is wrong is refused with the key", async () => {
    const file = (text: string, name = "wrong.toml"): [string, string] => [name, text];
    expect(await refusal([], {}, file("ctx-sise = 5"))).toContain('no flag "ctx-sise"');
    expect(await refusal([], {}, file('metrics = "yes"'))).toContain("true or false");
    expect(await refusal([], {}, file("port = [1, 2]"))).toContain("port must be");
    expect(await refusal([], {}, file("port = 70000"))).toContain("65535");
    expect(await refusal([], {}, file("port ="))).toContain("cannot be parsed");
    expect(await refusal([], {}, file("[]", "wrong.json"))).toContain("one object");
    expect(await refusal([], {}, file('config = "x"'))).toContain("no flag");
  });
});

describe("the environment", () => {
  test("has both prefixes, ours first, and llama-server's name for keys", async () => {
    const read = await flags([], {
      LLAMA_ARG_CTX_SIZE: "100",
      WF_PORT: "1",
      LLAMA_ARG_PORT: "2",
      LLAMA_ARG_MODEL: "m.gguf",
      LLAMA_ARG_N_PARALLEL: "3",
      LLAMA_ARG_ENDPOINT_METRICS: "1",
      LLAMA_API_KEY: "secret",
      WF_METRICS_ALIAS: "vllm,sglang",
      LLAMA_ARG_PRESENCE_PENALTY: "0.5",
    });
    expect(read).toMatchObject({
      ctxSize: 100,
      port: 1,
      model: ["m.gguf"],
      parallel: 3,
      metrics: true,
      apiKey: ["secret"],
      metricsAlias: ["vllm", "sglang"],
    });
    expect(samplingDefaults(read)).toEqual({ presence_penalty: 0.5 });
  });

  test("switches things off as it switches them on", async () => {
    expect((await flags([], { WF_NO_ENDPOINT_SLOTS: "1" })).slots).toBe(false);
    expect((await flags([], { WF_NO_ENDPOINT_SLOTS: "0" })).slots).toBe(true);
    expect((await flags([], { LLAMA_ARG_NO_CACHE_PROMPT: "true" })).cachePrompt).toBe(false);
    expect((await flags([])).cachePrompt).toBe(true);
  });
});

test("every flag of the samplers is an option that they know", async () => {
  const { defaultSamplingOptions } = await import("../../core/index.ts");
  const { createRegistry } = await import("../../apps/plugins.ts");
  const known = defaultSamplingOptions((await createRegistry()).samplers);
  const group = flagGroups.find(({ heading }) => heading.startsWith("Defaults"))!;
  const given = group.flags.flatMap(({ flags }) =>
    /n-predict|seed|samplers/.test(flags) ? [] : [flags.split(" ")[0]!, "1"],
  );
  const options = samplingDefaults(await flags(given));
  expect(Object.keys(options).length).toBe(given.length / 2);
  for (const name of Object.keys(options)) expect([name, name in known]).toEqual([name, true]);
});
