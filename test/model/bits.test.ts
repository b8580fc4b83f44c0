// One hash of logits: for every ISA, thread count, prefill chunk, and company in the step.
import { describe, expect, test } from "bun:test";
import type { Runtime } from "../../core/engine/runtime.ts";
import { evaluate, hashOf, openFixture } from "../support/runtime.ts";

const model = "gguf/tern-i2_s.gguf";
const tokens = Array.from({ length: 100 }, (_, i) => (i === 0 ? 4080 : (i * 37 + 11) % 4080));

/** The same prompt in chunks, while three other sequences prefill and decode in the same steps. */
function inCompany(runtime: Runtime): Float32Array[] {
  const rows: Float32Array[] = [];
  const pagesOf = (sequence: number): number[] =>
    Array.from({ length: 8 }, (_, i) => 8 * sequence + i);
  const others = [1, 2, 3].map((s) => tokens.map((token) => (token * s + 5) % 4080));
  for (let at = 0; at < tokens.length; at += 20) {
    const sequences = others.map((other, i) => ({
      tokens: other.slice(at, at + 20),
      position: at,
      pages: pagesOf(i + 1),
      logits: [0],
    }));
    const own = tokens.slice(at, at + 20);
    sequences.splice(1, 0, {
      tokens: own,
      position: at,
      pages: pagesOf(0),
      logits: own.map((_, i) => i),
    });
    runtime.run({ sequences });
    for (let i = 0; i < own.length; i++) rows.push(Float32Array.from(runtime.logits(1 + i)));
  }
  return rows;
}

async function hashes(isa: string, threads: number): Promise<Record<string, string>> {
  using runtime = await openFixture(model, { isa, threads });
  const found: Record<string, string> = {};
  for (const chunk of [1, 7, 64, tokens.length]) {
    found[`${isa} ${threads} threads, chunks of ${chunk}`] = hashOf(
      evaluate(runtime, tokens, "all", chunk),
    );
  }
  found[`${isa} ${threads} threads, in company`] = hashOf(inCompany(runtime));
  return found;
}

/** Slow where the generic library emulates fused multiply-add; a limit, not a promise of speed. */
const timeout = 120_000;

describe("the same bits for 1..3 threads, any chunk, any company", () => {
  const isas = process.arch === "x64" ? ["avx512", "avx2", "generic"] : ["neon", "generic"];
  let expected: string | undefined;
  for (const isa of isas) {
    test(
      `on ${isa}, equal to the others`,
      async () => {
        const all: Record<string, string> = {};
        for (const threads of [1, 2, 3]) Object.assign(all, await hashes(isa, threads));
        expected ??= Object.values(all)[0]!;
        expect(new Set([...Object.values(all), expected])).toEqual(new Set([expected]));
      },
      timeout,
    );
  }
});

test("on the mapped file, without packing, too", async () => {
  using packed = await openFixture(model);
  const expected = hashOf(evaluate(packed, tokens));
  for (const isa of process.arch === "x64" ? ["avx512", "avx2", "generic"] : ["neon"]) {
    using mapped = await openFixture(model, { mapped: true, isa });
    expect(mapped.tape.listing().some((line) => line.includes("linear i2_s"))).toBe(true);
    for (const chunk of [1, 64])
      expect(hashOf(evaluate(mapped, tokens, "all", chunk))).toBe(expected);
  }
}, 120_000);
