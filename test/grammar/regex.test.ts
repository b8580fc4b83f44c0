// Regular expressions: the same texts match as in JavaScript; the rest is refused.
import { describe, expect, test } from "bun:test";
import { automaton, characterSet, complete, negated } from "../../core/grammar/characters.ts";
import { checkConstraint, Random } from "../../core/index.ts";
import { feed, matcherOf } from "./helpers.ts";

const expressions = [
  "abc",
  "a|bc|",
  "(a|b)*c?",
  "[a-c]{2,3}x",
  "\\d{3}-\\d{2}",
  "(?:ab)+?c",
  "(?<name>a)[^b-z]",
  ".\\.",
  "\\w+\\s\\W",
  "[\\]\\-a]+",
  "[^\\d]{1,2}",
  "\\x41\\u0042\\t",
  "a{0}b{2,}",
  "^(yes|no)$",
  "x*y+z{1,2}",
  "(a?){3}b",
  "[é-ü]+",
  "😀+|é",
  "\\/\\^\\$",
  "a{b}",
  "[.]x",
];

test("the same texts match as in JavaScript", () => {
  const random = new Random(2);
  const alphabet = [..."abcxyz01239-._ \n\tAB/^$]é😀ü{}"];
  for (const source of expressions) {
    // Without the flag u, JavaScript takes "{b}" and "\\-" as they stand, as we do.
    const flags = /\{b\}|\\-/.test(source) ? "" : "u";
    const expected = new RegExp(`^(?:${source})$`, flags);
    const matcher = matcherOf("regex", source);
    for (let i = 0; i < 3000; i++) {
      const length = Math.floor(random.double() * 6);
      const text = Array.from(
        { length },
        () => alphabet[Math.floor(random.double() * alphabet.length)],
      ).join("");
      const want = expected.test(text);
      expect([source, text, feed(matcher, text)?.accepts ?? false]).toEqual([source, text, want]);
    }
  }
});

test("texts made for them match", () => {
  const made: [string, string][] = [
    ["\\d{3}-\\d{2}", "123-45"],
    ["\\x41\\u0042\\t", "AB\t"],
    ["😀+|é", "😀😀"],
    ["(a?){3}b", "aab"],
    ["\\/\\^\\$", "/^$"],
    ["a{b}", "a{b}"],
    ["[\\s\\S]{4}", "a\né😀"],
  ];
  for (const [source, text] of made) {
    expect([source, feed(matcherOf("regex", source), text)?.accepts]).toEqual([source, true]);
  }
});

describe("what is no regular language is refused", () => {
  const bad = [
    "(?=a)b",
    "(?<!a)b",
    "(a)\\1",
    "\\bword",
    "\\p{L}",
    "a^b",
    "a$b",
    "^a|b$",
    "*a",
    "a**",
    "a{2}{3}",
    "a{3,2}",
    "(a",
    "a)",
    "[a",
    "[b-a]",
    "a\\",
    "[\\d-z]",
    "(".repeat(60_000),
  ];
  for (const source of bad) {
    test(source.slice(0, 20), () => {
      expect(() => checkConstraint({ kind: "regex", source })).toThrow("regex: character");
    });
  }
});

test("the UTF-8 automaton accepts exactly its set", () => {
  const sets = [
    characterSet([[0, 0x10ffff]]),
    characterSet([
      [0x41, 0x5a],
      [0xe9, 0x17f],
      [0x7ff, 0x801],
      [0xfffe, 0x10001],
    ]),
    negated(
      characterSet([
        [0x22, 0x22],
        [0x1000, 0x1fff],
        [0x10fff0, 0x10fff8],
      ]),
    ),
    characterSet([[0xd000, 0xe100]]),
    characterSet([]),
  ];
  const random = new Random(1);
  const codes = [0, 0x22, 0x7f, 0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0x1fff, 0x2000, 0xd7ff, 0xe000];
  codes.push(0xffff, 0x10000, 0x10ffef, 0x10fff0, 0x10fff8, 0x10fff9, 0x10ffff);
  for (let i = 0; i < 5000; i++) codes.push(Math.floor(random.double() ** 3 * 0x110000));
  for (const set of sets) {
    const { table } = automaton(set);
    for (const code of codes) {
      if (code >= 0xd800 && code <= 0xdfff) continue;
      let state = 0;
      const bytes = new TextEncoder().encode(String.fromCodePoint(code));
      const ends = [...bytes].map((byte) => {
        state = state < 0 ? 0 : table[state * 256 + byte]!;
        return state;
      });
      const inSet = set.some(([first, last]) => first <= code && code <= last);
      expect([code, ends.at(-1) === complete]).toEqual([code, inSet]);
    }
  }
});
