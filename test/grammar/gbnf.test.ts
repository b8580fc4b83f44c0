// GBNF: what grammars match, what is no grammar, and grammars made to do harm.
import { describe, expect, test } from "bun:test";
import { parseGbnf } from "../../core/grammar/gbnf.ts";
import { compile } from "../../core/grammar/program.ts";
import { feed, matcherOf, matches } from "./helpers.ts";

const cases: [name: string, grammar: string, pass: string[], fail: string[]][] = [
  ["literal", 'root ::= "abc"', ["abc"], ["", "ab", "abcd", "Abc"]],
  ["alternatives", 'root ::= "a" | "bc" | ""', ["a", "bc", ""], ["b", "abc"]],
  ["star", 'root ::= "a"*', ["", "a", "aaaa"], ["b", "aab"]],
  ["plus", 'root ::= [ab]+ "c"', ["ac", "abbac"], ["c", "ab"]],
  ["question mark", 'root ::= "a"? "b"', ["b", "ab"], ["a", "aab"]],
  ["exact count", 'root ::= "ab"{2}', ["abab"], ["ab", "ababab"]],
  ["count from", "root ::= [0-9]{2,}", ["12", "12345"], ["1", ""]],
  ["count from to", "root ::= [0-9]{1,3}", ["1", "12", "123"], ["", "1234"]],
  ["count of zero", 'root ::= "a"{0} "b"', ["b"], ["ab"]],
  ["count of groups", 'root ::= ("a" | "bc"){2,3}', ["aa", "abc", "bcbcbc"], ["a", "aaaa", "ab"]],
  ["negated class", 'root ::= [^"\\n]*', ["abc", "é😀"], ['a"', "a\n"]],
  ["class with escapes", "root ::= [\\]\\\\\\x41-C\\u00e9]+", ["]\\ABC", "é"], ["D", "["]],
  ["class that ends in a dash", "root ::= [a-]+", ["a-a"], ["b"]],
  ["any character", "root ::= . .", ["ab", "é😀", "\n\n"], ["a", "abc"]],
  ["code points", 'root ::= [\\U0001F600-\\U0001F64F] "\\u2713"', ["😀✓"], ["😀", "✓✓"]],
  [
    "rules over several lines",
    '# numbers\nroot ::= sum\n\nsum ::= num ("+" num)* # left to right\nnum ::=\n  [1-9] [0-9]*\n  | "0"\n',
    ["1", "0+10", "12+0+7"],
    ["", "01", "1+", "+1"],
  ],
  [
    "groups over several lines",
    'root ::= (\n  "a" |\n  "b"\n) (\n "c"\n)*',
    ["a", "bcc"],
    ["c", "ab"],
  ],
  [
    "recursion",
    'root ::= "(" root ")" root | ""',
    ["", "()", "(())()", "()(()())"],
    ["(", ")", "(()"],
  ],
  [
    "arithmetic",
    `root  ::= (expr "=" ws term "\\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \\t\\n]*`,
    ["1=2\n", "a1+(b-3)*4 = x\n", "1= 2\n3 =4\n"],
    ["1=\n", "1+=2\n", "(1=2\n"],
  ],
  [
    "JSON",
    `root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\\"" ( [^"\\\\\\x7F\\x00-\\x1F] | "\\\\" (["\\\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\\n" [ \\t]{0,20}`,
    ["{}", '{"a": [1, -2.5e3, {"b": null}], "c":"\\u00e9\\n"}', '{"a":true}\n  '],
    ["[]", '{"a":}', '{"a":01}', '{"a":"\n"}', "{"],
  ],
  ["a rule defined again counts last", 'root ::= "a"\nroot ::= "b"', ["b"], ["a"]],
  ["quantifiers one after another", 'root ::= "a"{2}*', ["", "aa", "aaaa"], ["a", "aaa"]],
];

describe("grammars", () => {
  for (const [name, grammar, pass, fail] of cases) {
    test(name, () => {
      for (const text of pass) expect([text, matches("gbnf", grammar, text)]).toEqual([text, true]);
      for (const text of fail)
        expect([text, matches("gbnf", grammar, text)]).toEqual([text, false]);
    });
  }
});

describe("errors", () => {
  const bad: [grammar: string, message: string][] = [
    ["", 'no rule "root"'],
    ['start ::= "a"', 'no rule "root"'],
    ["root ::= other", 'rule "other" is not defined'],
    ['root ::= "a', "does not end"],
    ["root ::= [a", "does not end"],
    ["root ::= [b-a]", "after its last"],
    ['root ::= ("a"', '")" expected'],
    ['root ::= "a")', "a rule's name expected"],
    ["root := a", '"::=" expected'],
    ['root ::= "a"{2', '"}" expected'],
    ['root ::= "a"{3,2}', "the minimum is larger than the maximum"],
    ['root ::= "a"{x}', "a number"],
    ['root ::= "a"{99999999999}', "a number below"],
    ['root ::= "\\q"', "unknown escape"],
    ['root ::= "\\u12"', "4 hexadecimal digits"],
    ['root ::= "\\UFFFFFFFF"', "8 hexadecimal digits"],
    ['root ::= * "a"', "a rule's name expected"],
    ["root ::= <think", "does not end"],
    ['root ::= "a"\n  ! "b"', "a rule's name expected"],
  ];
  for (const [grammar, message] of bad) {
    test(JSON.stringify(grammar), () => {
      expect(() => compile(parseGbnf(grammar))).toThrow(message);
    });
  }

  test("name line and column", () => {
    expect(() => parseGbnf('root ::= "a"\nb ::= [')).toThrow("line 2, column 8");
  });
});

describe("hostile grammars", () => {
  test("left recursion is refused, by the rule's name", () => {
    const grammars = [
      'root ::= root "a" | "b"',
      'root ::= a\na ::= b "x"\nb ::= a | "y"',
      'root ::= ("" | "z"?) root "a"',
      "root ::= (root)*",
      'root ::= e{0,3} root\ne ::= "x"?',
    ];
    for (const grammar of grammars) {
      expect(() => compile(parseGbnf(grammar))).toThrow("left recursion");
    }
  });

  test("huge repetitions take no room", () => {
    const matcher = matcherOf("gbnf", "root ::= ([a-z] | [0-9]{2}){5,1000000}");
    expect(matcher.program.nodes.length).toBeLessThan(20);
    expect(feed(matcher, "abc12")?.accepts).toBe(false);
    expect(feed(matcher, "abc1234")?.accepts).toBe(true);
    expect(() => matcherOf("gbnf", 'root ::= ("a"?){1000000}')).toThrow("may be empty");
    const nested = matcherOf("gbnf", 'root ::= (("a"{1,9999}){1,9999}){1,9999}');
    expect(() => feed(nested, "a".repeat(500))).toThrow("too ambiguous");
  });

  test("deep nesting is refused", () => {
    const deep = `root ::= ${"(".repeat(60_000)}"a"${")".repeat(60_000)}`;
    expect(() => matcherOf("gbnf", deep)).toThrow("nested more than");
    expect(() => matcherOf("gbnf", `root ::= "a"${"?".repeat(60_000)}`)).toThrow("quantifiers");
  });

  test("ambiguity is bounded", () => {
    const doubled = matcherOf("gbnf", 'root ::= ("a" | "a" "a")* "b"');
    expect(feed(doubled, `${"a".repeat(3000)}b`)?.accepts).toBe(true);
    const pairs = matcherOf("gbnf", 's ::= "a" s s | "a" | ""\nroot ::= s "b"');
    expect(feed(pairs, `${"a".repeat(300)}b`)?.accepts).toBe(true);
    expect(() => feed(pairs, "a".repeat(3000))).toThrow("too ambiguous");
  });

  test("many rules are refused, fewer are quick", () => {
    const chain = (n: number) =>
      Array.from({ length: n }, (_, i) => `${i === 0 ? "root" : `r${i}`} ::= "x"? r${i + 1}`).join(
        "\n",
      );
    expect(() => matcherOf("gbnf", `${chain(9000)}\nr9000 ::= "a"`)).toThrow("more than");
    expect(feed(matcherOf("gbnf", `${chain(900)}\nr900 ::= "a"`), "xxa")?.accepts).toBe(true);
  });
});
