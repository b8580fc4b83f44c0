// Reads regular expressions: the part of ECMAScript's notation that describes a regular language.
import { WrinkleFreeError } from "../errors.ts";
import {
  anyCharacter,
  type CharacterSet,
  characterSet,
  digits,
  negated,
  setOf,
} from "./characters.ts";
import {
  characters,
  choice,
  type Expression,
  empty,
  type Grammar,
  repeat,
  sequence,
} from "./expression.ts";

const deepest = 200;

const wordCharacters = characterSet([
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]);
const spaces = characterSet([
  ...setOf("\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"),
  [0x2000, 0x200a],
]);
const lineEnds = setOf("\n\r\u2028\u2029");

export interface RegexOptions {
  /** The request's field, for errors. Default "regex". */
  readonly field?: string;
  /** What a character of the text is written as. Default: itself. */
  readonly write?: (set: CharacterSet) => Expression;
}

/** The whole text must match. Throws `bad_request` for what is no regular language, by place. */
export function regexGrammar(source: string): Grammar {
  const { expression } = parseRegex(source);
  return { rules: new Map([["root", expression]]), root: "root" };
}

/**
 * Parses: characters, escapes (\d \w \s \n \xNN \uNNNN ...), classes, `.`, groups, alternatives,
 * `* + ? {m,n}` (lazy ones are the same), `^` at the beginning and `$` at the end.
 */
export function parseRegex(
  source: string,
  options: RegexOptions = {},
): { expression: Expression; anchoredStart: boolean; anchoredEnd: boolean } {
  return new Parser(source, options).parse();
}

class Parser {
  readonly #source: string;
  readonly #field: string;
  readonly #write: (set: CharacterSet) => Expression;
  #at = 0;
  #depth = 0;

  constructor(source: string, options: RegexOptions) {
    this.#source = source;
    this.#field = options.field ?? "regex";
    this.#write = options.write ?? characters;
  }

  parse() {
    const anchoredStart = this.#take("^");
    const expression = this.#alternatives();
    const anchoredEnd = this.#take("$");
    if (this.#at < this.#source.length) {
      const what = this.#source[this.#at]!;
      this.#fail(what === "^" || what === "$" ? `"${what}" in the middle` : `unexpected "${what}"`);
    }
    const hasChoice = expression.kind === "choice";
    if (hasChoice && (anchoredStart || anchoredEnd) && !this.#isGrouped) {
      this.#fail('"^" or "$" with top-level "|": put the alternatives in a group');
    }
    return { expression, anchoredStart, anchoredEnd };
  }

  /** Whether the top level had no "|" of its own. */
  #isGrouped = true;

  #alternatives(): Expression {
    const items = [this.#sequence()];
    while (this.#take("|")) {
      if (this.#depth === 0) this.#isGrouped = false;
      items.push(this.#sequence());
    }
    return choice(...items);
  }

  #sequence(): Expression {
    const items: Expression[] = [];
    for (;;) {
      const item = this.#item();
      if (item === undefined) return items.length === 0 ? empty : sequence(...items);
      items.push(this.#quantified(item));
    }
  }

  #item(): Expression | undefined {
    const next = this.#source[this.#at];
    if (next === undefined || next === "|" || next === ")" || next === "^" || next === "$") {
      return undefined;
    }
    if (this.#take("(")) return this.#group();
    if (this.#take("[")) return this.#write(this.#class());
    if (this.#take(".")) return this.#write(negated(lineEnds));
    if (next === "*" || next === "+" || next === "?")
      this.#fail(`nothing to repeat before "${next}"`);
    if (this.#take("\\")) return this.#write(this.#escape(false));
    const code = this.#source.codePointAt(this.#at)!;
    this.#at += code > 0xffff ? 2 : 1;
    return this.#write(characterSet([[code, code]]));
  }

  #group(): Expression {
    if (++this.#depth > deepest) this.#fail(`groups are nested more than ${deepest} deep`);
    if (this.#take("?")) {
      if (/^<[a-zA-Z_$]/.test(this.#source.slice(this.#at, this.#at + 2))) {
        const end = this.#source.indexOf(">", this.#at);
        if (end < 0) this.#fail("the group's name does not end");
        this.#at = end + 1;
      } else if (!this.#take(":")) this.#fail("look-around and flags are not supported");
    }
    const inner = this.#alternatives();
    if (!this.#take(")")) this.#fail('")" expected');
    this.#depth--;
    return inner;
  }

  #quantified(item: Expression): Expression {
    const counts = this.#counts();
    if (counts === undefined) return item;
    const [min, max] = counts;
    if (max < min) this.#fail(`{${min},${max}}: the minimum is larger than the maximum`);
    this.#take("?");
    if (/^[*+?]/.test(this.#source.slice(this.#at, this.#at + 1)) || this.#peekCounts()) {
      this.#fail("nothing to repeat");
    }
    return repeat(item, min, max);
  }

  #counts(): [number, number] | undefined {
    if (this.#take("*")) return [0, Infinity];
    if (this.#take("+")) return [1, Infinity];
    if (this.#take("?")) return [0, 1];
    const match = this.#peekCounts();
    if (match === null) return undefined;
    this.#at += match[0].length;
    const min = Number(match[1]);
    return [min, match[2] === undefined ? min : match[3] === "" ? Infinity : Number(match[3])];
  }

  #peekCounts(): RegExpExecArray | null {
    const counts = /\{(\d+)(,(\d*))?\}/y;
    counts.lastIndex = this.#at;
    return counts.exec(this.#source);
  }

  #class(): CharacterSet {
    const inverted = this.#take("^");
    const ranges: (readonly [number, number])[] = [];
    while (!this.#take("]")) {
      const first = this.#member();
      const dash = this.#source[this.#at] === "-" && this.#source[this.#at + 1] !== "]";
      if (!dash || this.#at + 1 >= this.#source.length) {
        ranges.push(...first);
        continue;
      }
      this.#at++;
      const last = this.#member();
      const [low, high] = [single(first), single(last)];
      if (low === undefined || high === undefined || high < low)
        this.#fail("no range of characters");
      ranges.push([low, high]);
    }
    const set = characterSet(ranges);
    return inverted ? negated(set) : set;
  }

  #member(): CharacterSet {
    if (this.#at >= this.#source.length) this.#fail("the character class does not end");
    if (this.#take("\\")) return this.#escape(true);
    const code = this.#source.codePointAt(this.#at)!;
    this.#at += code > 0xffff ? 2 : 1;
    return [[code, code]];
  }

  #escape(inClass: boolean): CharacterSet {
    const letter = this.#source[this.#at++];
    switch (letter) {
      case "d":
        return digits;
      case "D":
        return negated(digits);
      case "w":
        return wordCharacters;
      case "W":
        return negated(wordCharacters);
      case "s":
        return spaces;
      case "S":
        return negated(spaces);
      case "b":
        if (inClass) return [[8, 8]];
        return this.#fail("\\b is not supported");
      case undefined:
        return this.#fail("it ends in the middle of an escape");
      default:
        return this.#characterEscape(letter);
    }
  }

  #characterEscape(letter: string): CharacterSet {
    const controls: Record<string, number> = { n: 10, r: 13, t: 9, f: 12, v: 11, "0": 0 };
    const control = controls[letter];
    if (control !== undefined) return [[control, control]];
    const rest = this.#source.slice(this.#at, this.#at + 12);
    const hex =
      letter === "x"
        ? /^([0-9a-fA-F]{2})/.exec(rest)
        : letter === "u"
          ? (/^([0-9a-fA-F]{4})/.exec(rest) ?? /^\{([0-9a-fA-F]{1,6})\}/.exec(rest))
          : null;
    if (hex !== null) {
      this.#at += hex[0].length;
      const code = Number.parseInt(hex[1]!, 16);
      return characterSet([[code, code]]);
    }
    if (/[a-zA-Z1-9]/.test(letter)) return this.#fail(`\\${letter} is not supported`);
    const code = this.#source.codePointAt(this.#at - 1)!;
    if (code > 0xffff) this.#at++;
    return [[code, code]];
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #fail(what: string): never {
    throw new WrinkleFreeError(
      "bad_request",
      `${this.#field}: character ${this.#at + 1} of the regular expression: ${what}`,
      { field: this.#field },
    );
  }
}

function single(set: CharacterSet): number | undefined {
  return set.length === 1 && set[0]![0] === set[0]![1] ? set[0]![0] : undefined;
}

/** Any text, with what `write` makes of its characters. */
export function anyText(write: (set: CharacterSet) => Expression): Expression {
  return repeat(write(anyCharacter));
}
