// Fuzzes files of saved caches: nothing of a damaged one, or of another model's, may come back.
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readSnapshot, writeSnapshot } from "../../core/engine/snapshot.ts";
import { type Chance, damage, damageJson } from "./chance.ts";
import { type Fuzzer, type Input, verdictOf, wrong } from "./fuzzer.ts";

const folder = mkdtempSync(join(tmpdir(), "wrinklefree-fuzz-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, "cache");
const key = { model: "m".repeat(64), pagePositions: 4, pageBytes: 32 };
const tokens = [1, 2, 3, 4, 5, 6];
writeSnapshot(path, key, tokens, [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]);
const good = readFileSync(path);
const words = ["model", "pagePositions", "pageBytes", "tokens", "__proto__"];

/** Half of the cases have a right checksum again, so that it is not all that stops them. */
function make(chance: Chance): Buffer {
  let bytes = chance.one(2) ? damage(good, chance) : good;
  if (chance.one(3)) {
    const length = good.readUInt32LE(8);
    const header = JSON.parse(good.toString("utf8", 12, 12 + length));
    const text = Buffer.from(JSON.stringify(damageJson(header, words, chance)) ?? "null");
    bytes = Buffer.concat([good.subarray(0, 12), text, good.subarray(12 + length)]);
    bytes.writeUInt32LE(text.length, 8);
  }
  if (bytes.length > 32 && chance.one(2)) {
    const body = bytes.subarray(0, -32);
    bytes = Buffer.concat([body, createHash("sha256").update(body).digest()]);
  }
  return Buffer.from(bytes);
}

function check(input: Input): "accepted" | "refused" {
  const bytes = Buffer.from(input as Uint8Array);
  writeFileSync(path, bytes);
  return verdictOf(() => {
    const pages: number[] = [];
    const read = readSnapshot(path, key, (part, page) => {
      if (part.length < 1 || part.length > 4) wrong(`a page of ${part.length} tokens`);
      pages.push(page.byteLength);
    });
    if (pages.length !== Math.ceil(read.length / 4)) wrong(`${pages.length} pages`);
    if (pages.some((size) => size !== key.pageBytes)) wrong(`pages of ${pages} bytes`);
    const hash = createHash("sha256").update(bytes.subarray(0, -32)).digest();
    if (!hash.equals(bytes.subarray(-32))) wrong("a wrong checksum");
  }, path);
}

export const snapshotFuzzer: Fuzzer = {
  ...{ name: "snapshot", share: 0.5, extension: "wfkv", make, check },
};
