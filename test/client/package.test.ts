// The client as a package has it: JavaScript for Node, and types that a strict project reads.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must, root } from "../support/stranger.ts";

const program = `import { type Answer, Client, ClientError } from "wrinklefree/client";
const client = Client.fromUrl("http://127.0.0.1:9", { retries: 0 });
const kind: string = await client.generate("x").then(
  (answer: Answer) => answer.text,
  (error: unknown) => (error instanceof ClientError ? error.kind : "other"),
);
console.log(client.url, kind);
// @ts-expect-error: tokens at most are a number
await client.generate("x", { maxTokens: "many" }).catch(() => {});
`;

test("a stranger's strict TypeScript compiles against it and runs in Node", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wf-client-"));
  const own = join(folder, "node_modules", "wrinklefree");
  await must([process.execPath, "apps/client/build.ts", join(own, "dist")], root);
  const exports = { "./client": { types: "./dist/index.d.ts", default: "./dist/index.js" } };
  await Bun.write(join(own, "package.json"), JSON.stringify({ type: "module", exports }));
  await Bun.write(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  await Bun.write(join(folder, "main.ts"), program);
  const tsc = [process.execPath, join(root, "node_modules/typescript/bin/tsc")];
  const flags = ["--strict", "--target", "es2022", "--module", "nodenext", "--types", ""];
  await must([...tsc, "main.ts", ...flags, "--lib", "es2022,dom,dom.iterable"], folder);
  expect(await must(["node", "main.js"], folder)).toBe("http://127.0.0.1:9 connection\n");
  rmSync(folder, { recursive: true });
});
