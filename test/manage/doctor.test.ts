// doctor: facts about this machine that can be checked, and a self-test that can fail.
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { totalmem } from "node:os";
import { diagnose } from "../../apps/manage/doctor.ts";
import { createRegistry } from "../../apps/plugins.ts";
import { definePlugin, Registry } from "../../core/index.ts";
import { root, run } from "../support/stranger.ts";

const doctor = (...args: string[]) =>
  run([process.execPath, "apps/cli/main.ts", "doctor", ...args], root);

test("tells the machine, the kernels and equal bits, as JSON", async () => {
  const { code, out } = await doctor("--json", "--threads", "2");
  const found = JSON.parse(out);
  expect(code).toBe(0);
  expect(found.memory.bytes).toBe(totalmem());
  expect(found.threads).toBe(2);
  expect(found.speed.readGbps).toBeGreaterThan(0.1);
  expect(found.kernels.map((kernel: { name: string }) => kernel.name)).toContain("cpu-generic");
  for (const { path, state } of found.kernels) expect(existsSync(path)).toBe(state !== "missing");
  const used = found.kernels.filter((kernel: { state: string }) => kernel.state === "used");
  expect(used.map((kernel: { name: string }) => kernel.name)).toEqual([`cpu-${found.isa}`]);
  const { passed, runs } = found.selfTest;
  expect(passed).toBe(true);
  const usable = found.kernels.filter((kernel: { state: string }) =>
    ["used", "fits"].includes(kernel.state),
  );
  expect(runs).toHaveLength(2 * usable.length);
  expect(new Set(runs.map((entry: { hash: string }) => entry.hash)).size).toBe(1);
});

test("is a table for people", async () => {
  const { code, out } = await doctor();
  expect(code).toBe(0);
  expect(out).toMatch(/^runs on +\w+, \d+ threads$/m);
  expect(out).toMatch(/^self-test +ok: equal bits on generic/m);
});

test("a self-test without a model family fails and says why", async () => {
  const whole = await createRegistry();
  const parts = { ...whole, kernels: whole.kernels, architectures: [] };
  void parts;
  const registry = new Registry([definePlugin({ name: "kernels", kernels: whole.kernels })]);
  const { selfTest } = await diagnose(registry, 1);
  expect(selfTest.passed).toBe(false);
  expect(selfTest.problem).toBeTruthy();
});

test("without kernels the error says how to get them", async () => {
  const error = await diagnose(new Registry([]), 1).catch((reason) => reason);
  expect(error.message).toContain("the kernel libraries are not built");
  expect(error.hint).toContain("npm run setup");
});
