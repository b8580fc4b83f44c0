// Constraints: masks against brute force, ends, tokens by name, lazy ones, an unskewed distribution.
import { describe, expect, test } from "bun:test";
import type { State } from "../../core/grammar/matcher.ts";
import { ConstraintFactory, checkConstraint, Random, type Tokenizer } from "../../core/index.ts";
import { chain, neutral } from "../samplers/helpers.ts";
import { allowed, factory, matcherOf, matches, tokenizer, walk } from "./helpers.ts";

const grammars = [
  "root ::= .*",
  'root ::= [a-z ]{3,9} ("!" | .)',
  'root ::= "\\"" ([^"\\\\\\x00-\\x1f] | "\\\\" ["\\\\n])* "\\""',
  'root ::= ([^"]{0,4} | "\\"x" ){2,5} [A-Z]+',
  "root ::= [^a-m]{0,40} [a-z]{0,3}",
  'root ::= ("The " | "A ")? [a-z]+ (" " [a-z]+)* "."',
];

/** The tokens that go on with a text, each tried alone. */
function bruteForce(grammar: string, drawn: readonly number[]): number[] {
  const matcher = matcherOf("gbnf", grammar);
  const step = (from: State | null, token: number) => {
    let state = from;
    for (const byte of tokenizer.bytes(token)) state = state && matcher.step(state, byte);
    return state;
  };
  const state = drawn.reduce<State | null>(step, matcher.start);
  const tokens: number[] = [];
  for (let token = 0; token < tokenizer.vocabularySize; token++) {
    if (tokenizer.endTokens.has(token)) {
      if (state?.accepts) tokens.push(token);
    } else if (!tokenizer.isSpecial(token) && step(state, token) !== null) tokens.push(token);
  }
  return tokens;
}

describe("masks", () => {
  test("hold exactly the tokens that go on", () => {
    const random = new Random(3);
    for (const source of grammars) {
      const constraint = factory.create({ kind: "gbnf", source });
      const drawn: number[] = [];
      for (let i = 0; i < 12; i++) {
        const tokens = allowed(constraint);
        expect(tokens).toEqual(bruteForce(source, drawn));
        const texts = tokens.filter((token) => !tokenizer.endTokens.has(token));
        if (texts.length === 0) break;
        const token = texts[Math.floor(random.double() * texts.length)]!;
        constraint.accept(token);
        drawn.push(token);
      }
    }
  });

  test("are shared by sequences of one grammar, states are not", () => {
    const source = { kind: "choice", source: '["one", "two"]' } as const;
    const [a, b] = [factory.create(source), factory.create(source)];
    a.accept(tokenizer.id("t")!);
    expect(
      allowed(a)
        .map((token) => tokenizer.decode([token]))
        .sort(),
    ).toEqual(["w"]);
    expect(allowed(b).length).toBeGreaterThan(2);
  });

  test("allow the end only where the text is complete", () => {
    const constraint = factory.create({ kind: "regex", source: "ab?" });
    const hasEnd = () => allowed(constraint).some((token) => tokenizer.endTokens.has(token));
    expect(hasEnd()).toBe(false);
    constraint.accept(tokenizer.id("a")!);
    expect(hasEnd()).toBe(true);
    expect(constraint.finished).toBe(false);
    constraint.accept(tokenizer.id("b")!);
    expect(constraint.finished).toBe(true);
    expect(allowed(constraint)).toEqual([...tokenizer.endTokens].sort((x, y) => x - y));
    constraint.accept(tokenizer.eos!);
    expect(constraint.finished).toBe(true);
  });

  test("end tokens of the request count", () => {
    const constraint = factory.create({ kind: "regex", source: "a?" }, [7]);
    expect(allowed(constraint)).toContain(7);
    expect(allowed(constraint)).not.toContain(tokenizer.eos!);
  });

  test("a vocabulary that lacks the bytes to go on ends the text", () => {
    const small: Tokenizer = {
      ...{ vocabularySize: 4096, endTokens: tokenizer.endTokens, bos: undefined, addBos: false },
      bytes: () => Uint8Array.of(0x61),
      isSpecial: () => false,
      id: () => undefined,
      encode: () => [],
      decode: () => "",
    };
    const constraint = new ConstraintFactory(small).create({ kind: "regex", source: "b" });
    expect(allowed(constraint)).toEqual([...tokenizer.endTokens].sort((x, y) => x - y));
  });
});

describe("choices", () => {
  test("give one of the texts", () => {
    const random = new Random(5);
    const source = '["red", "reddish", "dark \\"blue\\"", "é😀"]';
    const seen = new Set<string>();
    for (let i = 0; i < 60; i++) {
      seen.add(walk(factory.create({ kind: "choice", source }), random, 50)!);
    }
    expect([...seen].sort()).toEqual([...JSON.parse(source)].sort());
  });

  test("may be thousands, with common beginnings, one within another, or twice", () => {
    const texts = Array.from({ length: 6000 }, (_, i) => `word ${i}`);
    const source = JSON.stringify([...texts, "word", "word 5999", "wörd", "word 12 and more"]);
    for (const text of ["word 0", "word 59", "word 5999", "word", "wörd", "word 12 and more"]) {
      expect([text, matches("choice", source, text)]).toEqual([text, true]);
    }
    for (const text of ["word 6000", "word ", "wor", "word 12 ", "w\u00f6r", "word 5999x"]) {
      expect([text, matches("choice", source, text)]).toEqual([text, false]);
    }
    const values = JSON.stringify({ enum: texts });
    expect(matches("json_schema", values, '"word 4711"')).toBe(true);
    expect(matches("json_schema", values, '"word 6001"')).toBe(false);
  });

  test("that are none are refused", () => {
    for (const source of ["[]", '"a"', "[1]", "{}", '[""]', "["]) {
      expect(() => checkConstraint({ kind: "choice", source })).toThrow("choice: ");
    }
    const kind = "lark" as "gbnf";
    expect(() => checkConstraint({ kind, source: "" })).toThrow('no kind "lark"');
    const source = `root ::= "${"a".repeat(2 ** 20)}"`;
    expect(() => checkConstraint({ kind: "gbnf", source })).toThrow("1048587 characters");
  });
});

describe("tokens by name", () => {
  const header = tokenizer.id("<|start_header_id|>")!;

  test("stand for that token alone", () => {
    const source = `root ::= <|start_header_id|> "a" <[${header + 1}]> | "x"`;
    const constraint = factory.create({ kind: "gbnf", source });
    expect(allowed(constraint).sort()).toEqual([header, tokenizer.id("x")!].sort());
    for (const token of [header, tokenizer.id("a")!]) constraint.accept(token);
    expect(allowed(constraint)).toEqual([header + 1]);
    constraint.accept(header + 1);
    expect(constraint.finished).toBe(true);
  });

  test("negated, for all others", () => {
    const constraint = factory.create({ kind: "gbnf", source: `root ::= !<[${header}]>+ "."` });
    expect(allowed(constraint).length).toBe(tokenizer.vocabularySize - 1);
    expect(allowed(constraint)).not.toContain(header);
    constraint.accept(header + 1);
    constraint.accept(tokenizer.id(".")!);
    expect(allowed(constraint)).toContain(tokenizer.eos!);
  });

  test("that the model has not are refused", () => {
    const constraint = factory.create({ kind: "gbnf", source: "root ::= <nope>" });
    expect(() => allowed(constraint)).toThrow("no token <nope>");
  });
});

describe("lazy constraints", () => {
  const lazy = { triggers: ["<call>", "!!"] };
  const source = { kind: "regex", source: "(<call>|!!)[0-9]+;", lazy } as const;

  test("act from the trigger on", () => {
    const constraint = factory.create(source);
    const mask = new Uint32Array(128);
    for (const token of tokenizer.encode("Hello <cal")) {
      expect(constraint.mask(mask)).toBe(false);
      constraint.accept(token);
    }
    expect(constraint.finished).toBe(false);
    for (const token of tokenizer.encode("l>")) constraint.accept(token);
    expect(constraint.mask(mask)).toBe(true);
    expect(allowed(constraint).every((t) => /^[0-9]+;?$/.test(tokenizer.decode([t])))).toBe(true);
    for (const token of tokenizer.encode("17;")) constraint.accept(token);
    expect(constraint.finished).toBe(true);
  });

  test("do nothing to a text without one", () => {
    const constraint = factory.create(source);
    for (const token of tokenizer.encode("Nothing! to ! <call of")) constraint.accept(token);
    expect(constraint.mask(new Uint32Array(128))).toBe(false);
    constraint.accept(tokenizer.eos!);
    expect(constraint.finished).toBe(false);
  });
});

test("masked draws are the distribution given that the token is allowed", () => {
  const constraint = factory.create({ kind: "choice", source: '["a", "b", "c"]' });
  const mask = new Uint32Array(128);
  constraint.mask(mask);
  const logits = new Float32Array(4096);
  const [a, b, c] = ["a", "b", "c"].map((text) => tokenizer.id(text)!) as [number, number, number];
  logits.set([Math.log(5)], a);
  logits.set([Math.log(3)], b);
  logits.set([Math.log(2)], c);
  const sampler = chain(neutral, { vocabularySize: 4096 });
  const counts = new Map<number, number>();
  for (let i = 0; i < 20_000; i++) {
    const token = sampler.sample(logits, mask);
    counts.set(token, (counts.get(token) ?? 0) + 1);
  }
  const expected = [
    [a, 10_000],
    [b, 6000],
    [c, 4000],
  ] as const;
  const square = expected.reduce((sum, [t, n]) => sum + ((counts.get(t) ?? 0) - n) ** 2 / n, 0);
  expect(square).toBeLessThan(18.42);
  expect(counts.size).toBe(3);
});
