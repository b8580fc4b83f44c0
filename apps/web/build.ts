// Writes the built page into a folder, for a package: bun apps/web/build.ts FOLDER
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildPage } from "./bundle.ts";

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error("usage: bun apps/web/build.ts FOLDER");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
let [packed, whole] = [0, 0];
for (const { name, bytes } of await buildPage()) {
  writeFileSync(join(folder, name), bytes);
  packed += Bun.gzipSync(bytes).length;
  whole += bytes.length;
}
const kilobytes = (count: number): string => `${(count / 1000).toFixed(1)} kB`;
console.log(`the page weighs ${kilobytes(packed)} compressed, ${kilobytes(whole)} unpacked`);
