// A mixture of experts from conversion to service: validate passes, alone and at 8 streams.
import { afterAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { validate } from "../../apps/validate/run.ts";
import { type Json, testServer } from "../server/support.ts";

const folder = mkdtempSync(join(tmpdir(), "wf-mixture-"));
afterAll(() => rmSync(folder, recursive));

/** The checkpoint, with the tokenizer that all of them share. */
function complete(source: string): string {
  const place = join(folder, source);
  for (const from of ["hf-packed", source]) cpSync(`test/fixtures/tern/${from}`, place, recursive);
  return place;
}

const recursive = { recursive: true };

async function converted(source: string, ...flags: string[]): Promise<string> {
  const output = join(folder, `${source}.gguf`);
  const command = ["apps/cli/main.ts", "convert", complete(source), "-o", output];
  const child = Bun.spawn([process.execPath, ...command, "--quiet", ...flags], { stderr: "pipe" });
  const errors = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(errors);
  return output;
}

const options = {
  timeoutMs: 60_000,
  prefixTokens: 256,
  minCached: 0.8,
  minSpeedup: 1.2,
  minSuccess: 1,
  minEqual: 1,
  cycles: 6,
  cancelMs: 4000,
  context: undefined,
  only: [],
  seed: 21,
};

const cases = [
  { source: "hf-packed", flags: ["--fake-moe", "4", "--top-k", "2"], resident: undefined },
  { source: "moe-packed", flags: [], resident: undefined },
  { source: "moe-packed", flags: [], resident: 1 },
];

for (const { source, flags, resident } of cases) {
  const title = `${[source, ...flags].join(" ")}, ${resident ?? "all"} experts packed`;
  test(title, async () => {
    const model = await converted(source, ...flags);
    const sizes = { contextLength: 512, threads: 2, maxSequences: 16, expertsResident: resident };
    const server = await testServer({ models: [{ model, aliases: ["moe"], ...sizes }] });
    try {
      for (const concurrency of [1, 8]) {
        const { results } = await validate({ ...options, url: server.url, concurrency });
        expect(results.filter(({ passed }) => !passed)).toEqual([]);
      }
      const props: Json = await (await fetch(`${server.url}/props`)).json();
      expect(props.expert_tokens.length).toBe(4);
      for (const [layer, tokens] of props.expert_tokens.entries()) {
        expect(tokens.length).toBe(4);
        expect(Math.min(...tokens)).toBeGreaterThan(0);
        expect(props.expert_balance[layer]).toBeGreaterThan(1);
      }
    } finally {
      await server.stop();
    }
  }, 120_000);
}
