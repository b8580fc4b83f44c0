// Every fuzzer on seeded cases and on the inputs that once found a bug; `bun run fuzz` goes on from here.
import { afterAll, describe, expect, test } from "bun:test";
import { Chance, caseSeed } from "./chance.ts";
import { corpus, fuzzers } from "./fuzzers.ts";

const cases = 300;
const seed = 7;

afterAll(async () => {
  for (const fuzzer of fuzzers) await fuzzer.close?.();
});

for (const fuzzer of fuzzers) {
  describe(fuzzer.name, () => {
    test(`${cases} cases of seed ${seed} are accepted or refused clearly`, async () => {
      const verdicts = new Set<string>();
      for (let index = 0; index < cases; index++) {
        const input = fuzzer.make(new Chance(caseSeed(fuzzer.name, seed, index)));
        try {
          verdicts.add(await fuzzer.check(input));
        } catch (error) {
          throw new Error(`case ${index}`, { cause: error });
        }
      }
      // Damage that is never noticed, or always, would test nothing.
      expect([...verdicts].sort()).toEqual(["accepted", "refused"]);
    });

    for (const [name, input] of corpus(fuzzer)) {
      test(`${name}`, async () => {
        expect(await fuzzer.check(input)).toMatch(/^(accepted|refused)$/);
      });
    }
  });
}
