// Reads GBNF, llama.cpp's notation of grammars.
import { WrinkleFreeError } from "../errors.ts";
import { anyCharacter, type CharacterSet, characterSet, negated } from "./characters.ts";
import { choice, type Expression, type Grammar, repeat, sequence } from "./expression.ts";

/** Parentheses within parentheses; deeper ones are refused. */
const deepest = 200;

/**
 * Parses a grammar file: rules `name ::= alternatives`, literals, character classes, groups,
 * `* + ? {m} {m,} {m,n}`, `.`, comments, and tokens `<text>`, `<[id]>`, `!<...>`. The rule `root`
 * is the start. Throws `bad_request` with line and column.
 */
export function parseGbnf(source: string): Grammar {
  return new Parser(source).grammar();
}

class Parser {
  readonly #source: string;
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
  }

  grammar(): Grammar {
    const rules = new Map<string, Expression>();
    this.#space(true);
    while (this.#at < this.#source.length) {
      const name = this.#name();
      this.#space(false);
      if (!this.#take("::=")) this.#fail(`"::=" expected after rule name "${name}"`);
      this.#space(true);
      // As in llama.cpp, the last definition of a name counts.
      rules.set(name, this.#alternatives());
      this.#space(true);
    }
    if (!rules.has("root")) {
      throw new WrinkleFreeError("bad_request", 'the grammar has no rule "root"', {
        field: "grammar",
      });
    }
    return { rules, root: "root" };
  }

  #alternatives(): Expression {
    const items = [this.#sequence()];
    for (;;) {
      const before = this.#at;
      // Within a group, and after "|", line ends do not matter.
      this.#space(true);
      if (this.#take("|")) {
        this.#space(true);
        items.push(this.#sequence());
      } else {
        if (this.#depth === 0) this.#at = before;
        return choice(...items);
      }
    }
  }

  #sequence(): Expression {
    const items: Expression[] = [];
    for (;;) {
      const item = this.#item();
      if (item === undefined) return sequence(...items);
      items.push(this.#quantified(item));
      this.#space(this.#depth > 0);
    }
  }

  #item(): Expression | undefined {
    const next = this.#source[this.#at];
    if (next === '"') return this.#literal();
    if (next === "[") return { kind: "characters", set: this.#class() };
    if (next === "(") return this.#group();
    if (next === "<" || next === "!") return this.#token();
    if (this.#take(".")) return { kind: "characters", set: anyCharacter };
    if (next === undefined || !/[\w-]/.test(next)) return undefined;
    const before = this.#at;
    const name = this.#name();
    const end = this.#at;
    this.#space(this.#depth > 0);
    if (this.#source.startsWith("::=", this.#at)) {
      // The next rule's name.
      this.#at = before;
      return undefined;
    }
    this.#at = end;
    return { kind: "rule", name };
  }

  #group(): Expression {
    if (++this.#depth > deepest) this.#fail(`groups are nested more than ${deepest} deep`);
    this.#at++;
    this.#space(true);
    const inner = this.#alternatives();
    this.#space(true);
    if (!this.#take(")")) this.#fail('")" expected');
    this.#depth--;
    return inner;
  }

  #quantified(item: Expression): Expression {
    let result = item;
    for (let count = 0; ; count++) {
      const before = this.#at;
      this.#space(this.#depth > 0);
      if (count > deepest) this.#fail("too many quantifiers");
      if (this.#take("*")) result = repeat(result);
      else if (this.#take("+")) result = repeat(result, 1);
      else if (this.#take("?")) result = repeat(result, 0, 1);
      else if (this.#take("{")) result = this.#counted(result);
      else {
        this.#at = before;
        return result;
      }
    }
  }

  #counted(item: Expression): Expression {
    const min = this.#number();
    let max = min;
    if (this.#take(",")) {
      this.#space(false);
      max = /\d/.test(this.#source[this.#at] ?? "") ? this.#number() : Infinity;
    }
    this.#space(false);
    if (!this.#take("}")) this.#fail('"}" expected');
    if (max < min) this.#fail(`{${min},${max}}: the minimum is larger than the maximum`);
    return repeat(item, min, max);
  }

  #number(): number {
    this.#space(false);
    const digits = /^\d{1,9}(?!\d)/.exec(this.#source.slice(this.#at, this.#at + 11))?.[0];
    if (digits === undefined) this.#fail("a number below one thousand million expected");
    this.#at += digits.length;
    this.#space(false);
    return Number(digits);
  }

  #literal(): Expression {
    this.#at++;
    let text = "";
    for (;;) {
      const next = this.#source[this.#at];
      if (next === undefined) this.#fail("the literal does not end");
      if (this.#take('"')) return { kind: "text", text };
      text += String.fromCodePoint(this.#character());
    }
  }

  #class(): CharacterSet {
    this.#at++;
    const inverted = this.#take("^");
    const ranges: [number, number][] = [];
    while (!this.#take("]")) {
      if (this.#at >= this.#source.length) this.#fail("the character class does not end");
      const first = this.#character();
      let last = first;
      if (this.#source[this.#at] === "-" && this.#source[this.#at + 1] !== "]") {
        this.#at++;
        if (this.#at >= this.#source.length) this.#fail("the character class does not end");
        last = this.#character();
      }
      if (last < first) this.#fail("the range's first character comes after its last");
      ranges.push([first, last]);
    }
    const set = characterSet(ranges);
    return inverted ? negated(set) : set;
  }

  /** One character of a literal or class, escapes resolved; its code point. */
  #character(): number {
    const code = this.#source.codePointAt(this.#at)!;
    this.#at += code > 0xffff ? 2 : 1;
    if (code !== 0x5c) return code;
    const letter = this.#source[this.#at++];
    const digits = letter === "x" ? 2 : letter === "u" ? 4 : letter === "U" ? 8 : 0;
    if (digits > 0) {
      const hex = this.#source.slice(this.#at, this.#at + digits);
      const value = Number.parseInt(hex, 16);
      if (!/^[0-9a-fA-F]+$/.test(hex) || hex.length < digits || value > 0x10ffff) {
        this.#fail(`\\${letter} needs ${digits} hexadecimal digits of a character`);
      }
      this.#at += digits;
      return value;
    }
    const plain = { n: "\n", r: "\r", t: "\t", "\\": "\\", '"': '"', "[": "[", "]": "]" } as const;
    const found = plain[letter as keyof typeof plain];
    if (found !== undefined) return found.charCodeAt(0);
    if (letter === "-" || letter === "^" || letter === "/") return letter.charCodeAt(0);
    return this.#fail(`unknown escape \\${letter ?? ""}`);
  }

  #token(): Expression {
    const inverted = this.#take("!");
    if (this.#source[this.#at] !== "<") this.#fail('"<" expected after "!"');
    const end = this.#source.indexOf(">", this.#at);
    if (end < 0) this.#fail("the token does not end");
    const body = this.#source.slice(this.#at + 1, end);
    const id = /^\[(\d{1,9})\]$/.exec(body)?.[1];
    if (body === "" || /[\n\r]/.test(body)) this.#fail("no token");
    const token = id === undefined ? `<${body}>` : Number(id);
    this.#at = end + 1;
    return { kind: "token", token, negated: inverted };
  }

  #name(): string {
    const name = /^[\w-]+/.exec(this.#source.slice(this.#at, this.#at + 256))?.[0];
    if (name === undefined) return this.#fail("a rule's name expected");
    this.#at += name.length;
    return name;
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #space(lines: boolean): void {
    const source = this.#source;
    for (; this.#at < source.length; this.#at++) {
      const next = source[this.#at]!;
      if (next === "#") {
        while (this.#at < source.length && !/[\r\n]/.test(source[this.#at]!)) this.#at++;
        this.#at--;
      } else if (!(next === " " || next === "\t" || (lines && /[\r\n]/.test(next)))) return;
    }
  }

  #fail(what: string): never {
    const lines = this.#source.slice(0, this.#at).split("\n");
    const place = `line ${lines.length}, column ${lines.at(-1)!.length + 1}`;
    throw new WrinkleFreeError("bad_request", `grammar, ${place}: ${what}`, { field: "grammar" });
  }
}
