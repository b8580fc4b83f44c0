// Comparing two runs: which tests are paired, what counts as slower, which files are refused.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compare, comparisonTable, readReport } from "../../apps/bench/compare.ts";
import type { BenchReport, ResultLine } from "../../apps/bench/report.ts";

const folder = mkdtempSync(join(tmpdir(), "wf-compare-"));
afterAll(() => rmSync(folder, { recursive: true }));

const line = (own: Partial<ResultLine>): ResultLine => ({
  engine: "wrinklefree",
  shape: "small",
  test: "decode",
  tokens: 16,
  depth: 0,
  batch: 1,
  threads: 2,
  tokens_per_s: 100,
  spread: 0.1,
  fraction_of_bound: 0.8,
  ...own,
});
const machine = { cpu: "cpu", isa: "avx2", read_gbps: 50, int8_gmacs: 460 };

test("results of the same test are paired; decode whatever its steps, prompts by length", () => {
  const old = [line({}), line({ test: "prefill", tokens: 128 }), line({ batch: 8 })];
  const now = [
    line({ tokens: 32, tokens_per_s: 150 }),
    line({ test: "prefill", tokens: 512 }),
    line({ batch: 8, shape: "other" }),
  ];
  const pairs = compare(old, now, 0.1);
  expect(pairs.map((pair) => [pair.ratio, pair.slower])).toEqual([[1.5, false]]);
});

test("slower means below the tolerance, not at it", () => {
  const slower = (speed: number): boolean | undefined =>
    compare([line({})], [line({ tokens_per_s: speed })], 0.1)[0]?.slower;
  expect([89.9, 90, 95, 120].map(slower)).toEqual([true, false, false, false]);
});

test("fractions of the bound are compared where both are known", () => {
  const [pair] = compare([line({})], [line({ fraction_of_bound: 0.4 })], 0.1);
  expect(pair?.fractionRatio).toBeCloseTo(0.5, 9);
  const [peer] = compare([line({ fraction_of_bound: null })], [line({})], 0.1);
  expect(peer?.fractionRatio).toBeUndefined();
});

test("the table has a row for each pair and marks the slower ones", () => {
  const pairs = compare(
    [line({}), line({ batch: 2 })],
    [line({ tokens_per_s: 50 }), line({ batch: 2 })],
    0.1,
  );
  const rows = comparisonTable(pairs).split("\n");
  expect(rows.length).toBe(3);
  expect(rows[1]).toEndWith("slower");
  expect(rows[2]).not.toContain("slower");
});

test("a report is read back; what is none is refused with its path and field", () => {
  const path = join(folder, "report.json");
  const report: BenchReport = { machine, results: [line({})] };
  writeFileSync(path, JSON.stringify(report));
  expect(readReport(path)).toEqual(report);
  writeFileSync(path, JSON.stringify({ machine, results: [{ ...line({}), tokens_per_s: 0 }] }));
  expect(() => readReport(path)).toThrow("/results/0/tokens_per_s");
  writeFileSync(path, "nonsense");
  expect(() => readReport(path)).toThrow("is not JSON");
  expect(() => readReport(join(folder, "none.json"))).toThrow("no such file");
});
