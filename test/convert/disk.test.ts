// Disks that are full and folders that may not be written to: a clear error, and nothing half-written.
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { fixture, registry } from "../support/runtime.ts";
import { run } from "../support/stranger.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-disk-"));
afterAll(() => rmSync(folder, { recursive: true }));
const main = join(import.meta.dir, "../../apps/cli/main.ts");
const source = fixture("tern/hf-packed");

const windows = process.platform === "win32";
if (windows) console.log("disk: left out, Windows has no limit on the size of files");

/** Runs `convert` where no file may become larger than `kib`. */
async function limited(kib: number, name: string, ...flags: string[]): Promise<string> {
  const place = join(folder, `${name}-${kib}`);
  mkdirSync(place);
  const command = [process.execPath, main, "convert", source, "-o", join(place, name), ...flags];
  // Without the trap a write beyond the limit would end the process.
  const shell = `trap '' XFSZ; ulimit -f ${kib * (process.platform === "linux" ? 1 : 2)}; exec "$@"`;
  const { code, error } = await run(["bash", "-c", shell, "bash", ...command], place);
  expect(code).toBe(1);
  expect(readdirSync(place)).toEqual([]);
  return error;
}

test.skipIf(windows)("a file that cannot grow to its size", async () => {
  // Nothing fits; the last megabytes do not; a checkpoint's tensors do not.
  for (const kib of [8, 2000]) {
    const error = await limited(kib, "model.gguf");
    expect(error).toMatch(/cannot write .*model\.gguf.*\n.*ulimit -f/s);
  }
  const error = await limited(1000, "packed", "-q", "hf-packed");
  expect(error).toMatch(/cannot write .*packed.*\n.*ulimit -f/s);
});

test.skipIf(process.platform !== "linux")("a place where nobody may write", async () => {
  // Not even root may create files there.
  for (const [output, quantize] of [
    ["/sys/wrinklefree.gguf", "i2_s"],
    ["/sys/wrinklefree", "hf-packed"],
  ] as const) {
    const error = await convert({ source, output, quantize }, registry).catch((e) => e);
    expect(error.message).toMatch(
      /cannot write \/sys\/wrinklefree.*(permitted|permission|read-only)/i,
    );
    expect(error.code).toBe("unsupported");
  }
});
