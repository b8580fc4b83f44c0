// The last proof of a conversion: logits of 32 tokens on source and output.
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../../apps/convert/convert.ts";
import { proveForward } from "../../apps/convert/forward.ts";
import { fixture, registry } from "../support/runtime.ts";
import { run } from "../support/stranger.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-forward-"));
afterAll(() => rmSync(folder, { recursive: true }));
const source = fixture("tern/hf-packed");

test("equal values give equal bits; a coarser head is told by its cosine", async () => {
  const output = join(folder, "exact.gguf");
  const exact = await convert({ source, output, embedding: "bf16", forward: true }, registry);
  expect(exact.logits).toMatchObject({ tokens: 32, identical: true, sameBest: 32 });
  const coarse = await convert({ source, output, embedding: "q4_0", forward: true }, registry);
  expect(coarse.logits?.identical).toBe(false);
  expect(coarse.logits?.smallestCosine).toBeGreaterThan(0.95);
});

test("an output that answers otherwise is refused", async () => {
  const [own, other] = ["llama-auto-offline", "llama-rmsnorm"].map((name) =>
    fixture(`tern/random/${name}`),
  ) as [string, string];
  const options = { source: own, output: join(folder, "never.gguf") };
  const error = await proveForward(options, other, 1, registry).catch((reason) => reason);
  expect(error.code).toBe("internal");
  expect(error.message).toMatch(/^verification failed: logits .* cosine of -?0\.\d+/);
});

test("where it cannot be, the reason is told", async () => {
  const output = join(folder, "other.gguf");
  const config = join(source, "config.json");
  const { noLogits } = await convert({ source, output, config, forward: true }, registry);
  expect(noLogits).toContain("config.json");
  const prove = (bytes: number) => proveForward({ source, output }, output, bytes, registry);
  expect((await prove(1e15)).noLogits).toContain("need more memory");
});

test("the command proves and prints by default; --dry-run writes nothing", async () => {
  const main = join(import.meta.dir, "../../apps/cli/main.ts");
  const command = [process.execPath, main, "convert", source, "-o", "model.gguf", "--quiet"];
  const dry = await run([...command, "--dry-run"], folder);
  expect(dry.out).toMatch(/^would write .*model\.gguf: 2\.\d MiB, 46 tensors\n$/);
  expect(existsSync(join(folder, "model.gguf"))).toBe(false);
  const { out, code } = await run(command, folder);
  expect(code).toBe(0);
  expect(out).toMatch(
    /3145728 ternary weights equal the source's\nlogits of 32 tokens: .*\nsha256 /,
  );
  // The checksum lies beside the output, as sha256sum wants it.
  const [digest = "", name] = readFileSync(join(folder, "model.gguf.sha256"), "utf8").split(/\s+/);
  const bytes = readFileSync(join(folder, "model.gguf"));
  expect(digest).toBe(new Bun.CryptoHasher("sha256").update(bytes).digest("hex"));
  expect(name).toBe("model.gguf");
  const quick = await run([...command, "--no-verify"], folder);
  expect(quick.out).not.toContain("logits");
});
