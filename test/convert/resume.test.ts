// Interrupted conversions go on where they stopped; threads write the same file as one.
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { createRunner } from "../../apps/convert/pool.ts";
import { prepare } from "../../apps/convert/prepare.ts";
import { createRegistry } from "../../apps/plugins.ts";
import { GgufWriter } from "../../plugins/standard.ts";

const source = `${import.meta.dir}/../fixtures/tern/hf-packed`;
const registry = await createRegistry();
const folder = mkdtempSync(join(tmpdir(), "wrinklefree-resume-"));
afterAll(() => rmSync(folder, { recursive: true }));

const reference = join(folder, "reference.gguf");
await convert({ source, output: reference }, registry);
const sameAsReference = (path: string): boolean =>
  Buffer.compare(readFileSync(path), readFileSync(reference)) === 0;

/** Stops a conversion after `count` tensors. */
async function interrupt(output: string, count: number): Promise<unknown> {
  const abort = new AbortController();
  let seen = 0;
  const progress = (): void => {
    if (++seen === count) abort.abort();
  };
  const run = convert(
    { source, output, progress, signal: abort.signal, name: "hf-packed" },
    registry,
  );
  return run.then(
    () => undefined,
    (error) => error,
  );
}

describe("resume", () => {
  test("an interrupted conversion leaves no output, and --resume finishes it", async () => {
    const output = join(folder, "resumed.gguf");
    expect(await interrupt(output, 20)).toMatchObject({ code: "cancelled" });
    expect(existsSync(output)).toBe(false);
    expect(existsSync(`${output}.part`)).toBe(true);
    let written = 0;
    const progress = ({ phase }: { phase: string }): void => {
      if (phase === "write") written++;
    };
    await convert({ source, output, resume: true, progress }, registry);
    expect(written).toBe(46 - 20);
    expect(sameAsReference(output)).toBe(true);
    expect(existsSync(`${output}.part.json`)).toBe(false);
  });

  test("without --resume, with other options or a damaged note it begins anew", async () => {
    for (const damage of [false, true]) {
      const output = join(folder, `anew-${damage}.gguf`);
      await interrupt(output, 10);
      if (damage) writeFileSync(`${output}.part.json`, "{");
      let written = 0;
      const progress = ({ phase }: { phase: string }): void => {
        if (phase === "write") written++;
      };
      await convert({ source, output, resume: damage, progress }, registry);
      expect(written).toBe(46);
      expect(sameAsReference(output)).toBe(true);
    }
    const output = join(folder, "other.gguf");
    await interrupt(output, 10);
    const report = await convert({ source, output, resume: true, quantize: "tq2_0" }, registry);
    expect(report.verifiedWeights).toBe(3145728);
  });

  test("a tensor that was damaged in between is found by the verification", async () => {
    const output = join(folder, "damaged.gguf");
    await interrupt(output, 30);
    const bytes = readFileSync(`${output}.part`);
    bytes.fill(0, 1_000_000, 1_000_100);
    writeFileSync(`${output}.part`, bytes);
    const run = convert({ source, output, resume: true }, registry);
    expect(run).rejects.toThrow("verification failed: token_embd.weight");
    await run.catch(() => {});
    expect(existsSync(output)).toBe(false);
  });
});

describe("packed checkpoints", () => {
  const packed = { source, quantize: "hf-packed" };
  const weights = (path: string): Buffer => readFileSync(join(path, "model.safetensors"));

  test("go on where they stopped, without proof where none is wanted", async () => {
    const whole = join(folder, "whole");
    const { verifiedWeights } = await convert({ ...packed, output: whole }, registry);
    expect(verifiedWeights).toBe(3145728);
    const output = join(folder, "packed");
    const abort = new AbortController();
    let seen = 0;
    const progress = (): void => {
      if (++seen === 20) abort.abort();
    };
    const { signal } = abort;
    const run = convert({ ...packed, output, progress, signal }, registry);
    expect(await run.catch((error) => error)).toMatchObject({ code: "cancelled" });
    expect(existsSync(output)).toBe(false);
    // What is resumed is not written again: damage in it stays.
    const part = join(`${output}.part`, "model.safetensors");
    const bytes = readFileSync(part);
    bytes.fill(0x55, 1_000_000, 1_000_001);
    writeFileSync(part, bytes);
    const again = { ...packed, output, resume: true, verify: false };
    expect((await convert(again, registry)).verifiedWeights).toBe(0);
    const got = weights(output);
    expect(got[1_000_000]).toBe(0x55);
    const wanted = weights(whole);
    got[1_000_000] = wanted[1_000_000]!;
    expect(Buffer.compare(got, wanted)).toBe(0);
    expect(existsSync(`${output}.part.json`)).toBe(false);
  });
});

describe("two conversions", () => {
  for (const quantize of ["i2_s", "hf-packed"]) {
    test(`of one output as ${quantize}: one is refused`, async () => {
      const output = join(folder, `twice-${quantize}${quantize === "i2_s" ? ".gguf" : ""}`);
      const runs = [0, 1].map(() => convert({ source, output, quantize }, registry));
      const ends = await Promise.allSettled(runs);
      const [refused, ...more] = ends.flatMap((end) =>
        end.status === "rejected" ? [end.reason] : [],
      );
      expect(more).toEqual([]);
      expect(refused).toMatchObject({ code: "usage" });
      expect(refused.message).toContain(`is being written by process ${process.pid}`);
      expect(existsSync(output)).toBe(true);
      expect(existsSync(`${output}.lock`)).toBe(false);
    });
  }

  test("a process that is no more holds nothing", async () => {
    const output = join(folder, "stale.gguf");
    const child = Bun.spawn([process.execPath, "-e", ""]);
    await child.exited;
    writeFileSync(`${output}.lock`, String(child.pid));
    await convert({ source, output, name: "hf-packed" }, registry);
    expect(sameAsReference(output)).toBe(true);
  });
});

test("worker threads write and prove the same file", async () => {
  const output = join(folder, "threads.gguf");
  const options = { source, output };
  using prepared = await prepare(options, registry);
  const writer = new GgufWriter(output, prepared.metadata, prepared.tensors);
  const parts = { prepared, writer, registry, options, plugins: [], threads: 2, smallest: 0 };
  using runner = createRunner(parts);
  const all = prepared.jobs.map((_, index) => index);
  await runner.run("write", all, () => {});
  writer.complete();
  let weights = 0;
  await runner.run("verify", all, (_, proof) => {
    weights += proof?.weights ?? 0;
  });
  writer.rename();
  expect(weights).toBe(3145728);
  expect(sameAsReference(output)).toBe(true);
});

test("an error in a worker thread arrives as it was thrown", async () => {
  const output = join(folder, "failing.gguf");
  using prepared = await prepare({ source, output }, registry);
  const writer = new GgufWriter(output, prepared.metadata, prepared.tensors);
  const options = { source: join(folder, "nowhere"), output };
  const parts = { prepared, writer, registry, options, plugins: [], threads: 2, smallest: 0 };
  using runner = createRunner(parts);
  const run = runner.run("write", [0], () => {});
  expect(run).rejects.toMatchObject({ code: "not_found" });
  await run.catch(() => {});
  writer.abort();
});
