// The bench command from outside: its JSON, its picture, its exit codes.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "wf-bench-"));
afterAll(() => rmSync(folder, { recursive: true }));

const plan = "--shape small --prefill 8 --depth 0,8 --batch 1,2 --steps 2 --repetitions 2 -t 2";

function bench(args: string): { code: number; out: string; error: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(
    [process.execPath, "apps/cli/main.ts", "bench", ...args.split(" ")],
    { stdout: "pipe", stderr: "pipe" },
  );
  return { code: exitCode, out: stdout.toString(), error: stderr.toString() };
}

test("--json prints the machine and the results, exactly these fields, and --svg a picture", () => {
  const svg = join(folder, "roof.svg");
  const { code, out } = bench(`${plan} --json --svg ${svg}`);
  expect(code).toBe(0);
  const report = JSON.parse(out);
  expect(Object.keys(report)).toEqual(["machine", "layout", "gemm", "results"]);
  expect(report.gemm).toBe("plain");
  expect(Object.keys(report.machine)).toEqual(["cpu", "isa", "read_gbps", "int8_gmacs"]);
  expect(report.results.length).toBe(4);
  for (const result of report.results) {
    expect(Object.keys(result)).toEqual([
      "engine",
      "shape",
      "test",
      "tokens",
      "depth",
      "batch",
      "threads",
      "tokens_per_s",
      "spread",
      "fraction_of_bound",
    ]);
    expect(result).toMatchObject({ engine: "wrinklefree", shape: "small", threads: 2 });
  }
  expect(readFileSync(svg, "utf8")).toStartWith("<svg");

  const faster = structuredClone(report);
  for (const result of faster.results) result.tokens_per_s *= 1e6;
  const old = join(folder, "old.json");
  writeFileSync(old, JSON.stringify(faster));
  const compared = bench(`${plan} --compare ${old}`);
  expect(compared.code).toBe(1);
  expect(compared.out).toContain("slower");
  for (const result of faster.results) result.tokens_per_s = 1e-6;
  writeFileSync(old, JSON.stringify(faster));
  expect(bench(`${plan} --compare ${old}`).code).toBe(0);
}, 120_000);

test("--tape --time lists every op with two times, and what the body's linears reach", () => {
  const { code, out } = bench(
    "--shape moe-small --prefill 8 --depth 0 --batch 1 --tape --time -t 1",
  );
  expect(code).toBe(0);
  const lines = out.trim().split("\n").slice(1);
  expect(lines.pop()).toMatch(/^body: \d+ MB of linears at [\d.]+ GB\/s, \d+ % of the read probe$/);
  expect(lines.length).toBeGreaterThan(20);
  for (const line of lines) expect(line).toMatch(/^ *\d+\.\d +\d+\.\d +\d+ +\w+/);
  expect(out).toContain("linear_experts");
}, 120_000);

test("--load tells times to readiness and first token, and memory", () => {
  const { code, out } = bench("--shape small --load --json --repetitions 2 -t 1");
  expect(code).toBe(0);
  const { load } = JSON.parse(out);
  expect(load.layout).toMatch(/^t\d/);
  expect(load.ready_ms.length).toBe(2);
  for (const [i, ready] of load.ready_ms.entries()) {
    expect(load.first_token_ms[i]).toBeGreaterThan(ready);
  }
  expect(load.resident.total).toBeGreaterThan(load.file_bytes);
  // f16 keys and values of 2,048 positions: 4 layers, 2 heads of 64.
  expect(load.weights_and_kv).toBe(load.file_bytes + 2048 * 4 * 2 * 64 * 2 * 2);
  if (process.platform === "linux") {
    expect(load.resident.peak).toBeGreaterThanOrEqual(load.resident.total);
    const share = load.resident.peak / load.weights_and_kv;
    expect(load.peak_of_weights_and_kv).toBeCloseTo(share, 2);
  }
}, 120_000);

test("--neighbours decodes alone and beside busy processes, and tells the fair share", () => {
  const { code, out } = bench("--shape small --neighbours 2 --json --steps 2 --repetitions 1 -t 1");
  expect(code).toBe(0);
  const found = JSON.parse(out);
  expect(found).toMatchObject({ neighbours: 2, threads: 1 });
  expect(found.ratio).toBeCloseTo(found.beside / found.alone, 9);
  expect(found.alone).toBeGreaterThan(0);
  const { cores } = found;
  expect(found.fair).toBeCloseTo(Math.min(1, cores - 1 + 1 / 3), 9);
}, 120_000);

test("mistakes are told with the flag and exit code 2", () => {
  for (const [args, text] of [
    ["--shape nothing", "no shape nothing"],
    ["--batch 0", "at least 1"],
    ["--tolerance 2", "from 0 up to 1"],
    ["--url http://127.0.0.1:1", "does not answer"],
  ]) {
    const { code, error } = bench(args as string);
    expect(code).toBeGreaterThan(0);
    expect(error).toContain(text as string);
  }
}, 120_000);
