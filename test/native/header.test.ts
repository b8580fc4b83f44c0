// The committed files that are generated from abi.zig are what the generator writes today.
import { expect, test } from "bun:test";

const root = `${import.meta.dir}/../..`;
const zig = `${root}/node_modules/.bin/zig`;

async function generate(kind: "h" | "ts"): Promise<string> {
  const child = Bun.spawn([zig, "run", "kernels-zig/header.zig", "--", kind], {
    cwd: root,
    stdout: "pipe",
    stderr: "pipe",
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
  return text;
}

test("core/native/abi.ts is up to date", async () => {
  expect(await Bun.file(`${root}/core/native/abi.ts`).text()).toBe(await generate("ts"));
});

test("kernels-zig/include/wrinklefree.h is up to date", async () => {
  const committed = await Bun.file(`${root}/kernels-zig/include/wrinklefree.h`).text();
  expect(committed).toBe(await generate("h"));
});
