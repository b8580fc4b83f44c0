// Opens fixtures as runnable models, and evaluates token runs without an engine.
import { resolve } from "node:path";
import { openRuntime, type Runtime, type RuntimeOptions } from "../../core/engine/runtime.ts";
import { Registry } from "../../core/index.ts";
import { standard } from "../../plugins/standard.ts";

export const registry = new Registry(standard);

/** Path of a file under test/fixtures; an absolute path stays as it is. */
export function fixture(path: string): string {
  return resolve(new URL("../fixtures", import.meta.url).pathname, path);
}

/** Parsed JSON of a file under test/golden. */
export async function golden<T>(path: string): Promise<T> {
  return (await Bun.file(new URL(`../golden/${path}`, import.meta.url)).json()) as T;
}

export function openFixture(path: string, options: Partial<RuntimeOptions> = {}): Promise<Runtime> {
  return openRuntime(
    { model: fixture(path), contextLength: 1024, maxSequences: 8, threads: 2, ...options },
    registry,
  );
}

/** Logits of every row of `tokens`, computed alone in chunks of `chunk` rows on the first pages. */
export function evaluate(
  runtime: Runtime,
  tokens: readonly number[],
  wanted: "all" | "last" = "all",
  chunk = 64,
): Float32Array[] {
  const rows: Float32Array[] = [];
  for (let at = 0; at < tokens.length; at += chunk) {
    const part = tokens.slice(at, at + chunk);
    const end = at + part.length === tokens.length;
    const logits = wanted === "all" ? part.map((_, i) => i) : end ? [part.length - 1] : [];
    const pages = Array.from(
      { length: Math.ceil((at + part.length) / runtime.pagePositions) },
      (_, i) => i,
    );
    runtime.run({ sequences: [{ tokens: part, position: at, pages, logits }] });
    logits.forEach((_, i) => {
      rows.push(Float32Array.from(runtime.logits(i)));
    });
  }
  return rows;
}

export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

export function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  return dot / Math.sqrt(aa * bb);
}

/** float32 values of a base64 string of little-endian floats. */
export function floatsOfBase64(text: string): Float32Array {
  const bytes = Buffer.from(text, "base64");
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/** Hash of logits, bit for bit. */
export function hashOf(rows: readonly Float32Array[]): string {
  const hasher = new Bun.CryptoHasher("sha256");
  for (const row of rows) hasher.update(new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
  return hasher.digest("hex");
}
