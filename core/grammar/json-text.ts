// The grammar of JSON itself: white space, strings, any value; and the formats of strings.
import { type CharacterSet, characterSet, negated, setOf } from "./characters.ts";
import {
  characters,
  choice,
  type Expression,
  empty,
  optional,
  repeat,
  rule,
  sequence,
  text,
} from "./expression.ts";
import { anyText, parseRegex } from "./regex.ts";

/** Characters that stand for themselves in a JSON string. */
const plain = negated(characterSet([[0, 0x1f], ...setOf('"\\')]));
const hex = characters(setOf("0123456789abcdefABCDEF"));

/** \n, \u00e9 and the like; no surrogates, so that each is one character. */
const escaped = sequence(
  text("\\"),
  choice(
    characters(setOf('"\\/bfnrt')),
    sequence(
      text("u"),
      choice(
        sequence(characters(setOf("0123456789abcefABCEF")), repeat(hex, 3, 3)),
        sequence(characters(setOf("dD")), characters(setOf("01234567")), repeat(hex, 2, 2)),
      ),
    ),
  ),
);

/** Between JSON's tokens: nothing, one space, or a line end and an indent, bounded. */
export const space = rule(" space");

export const comma = sequence(text(","), space);

/** Rules that others refer to by `rule(...)`; their names are no JSON pointers. */
export const jsonRules: ReadonlyMap<string, Expression> = new Map<string, Expression>([
  [
    " space",
    choice(
      empty,
      text(" "),
      sequence(repeat(text("\n"), 1, 2), repeat(characters(setOf(" \t")), 0, 20)),
    ),
  ],
  [" string", stringOf(0, Infinity)],
  [
    " value",
    choice(
      rule(" object"),
      rule(" array"),
      rule(" string"),
      rule(" number"),
      text("true"),
      text("false"),
      text("null"),
    ),
  ],
  [" object", object(rule(" string"), rule(" value"), 0, Infinity)],
  [" array", array(rule(" value"), 0, Infinity)],
  [" number", numberText(true)],
  [" integer", numberText(false)],
]);

/** A JSON number; bounded in its digits, so that it ends and stays finite. */
function numberText(fraction: boolean): Expression {
  const digit = characters([[0x30, 0x39]]);
  const whole = sequence(
    optional(text("-")),
    choice(text("0"), sequence(characters(setOf("123456789")), repeat(digit, 0, 15))),
  );
  if (!fraction) return whole;
  return sequence(
    whole,
    optional(sequence(text("."), repeat(digit, 1, 16))),
    optional(
      sequence(characters(setOf("eE")), optional(characters(setOf("+-"))), repeat(digit, 1, 2)),
    ),
  );
}

/** A JSON string of min to max characters. */
export function stringOf(min: number, max: number): Expression {
  return sequence(text('"'), repeat(choice(characters(plain), escaped), min, max), text('"'));
}

/** What may stand in a JSON string for one character of a set. */
export function written(set: CharacterSet): Expression {
  const specials: Expression[] = [];
  for (const code of [...Array(0x20).keys(), 0x22, 0x5c]) {
    if (!set.some(([first, last]) => first <= code && code <= last)) continue;
    specials.push(text(JSON.stringify(String.fromCharCode(code)).slice(1, -1)));
  }
  return choice(characters(intersection(set, plain)), ...specials);
}

function intersection(a: CharacterSet, b: CharacterSet): CharacterSet {
  return negated(characterSet([...negated(a), ...negated(b)]));
}

/** A JSON string that a regular expression matches somewhere, as JSON Schema's `pattern` means it. */
export function stringLike(pattern: string, field: string): Expression {
  const { expression, anchoredStart, anchoredEnd } = parseRegex(pattern, { field, write: written });
  return sequence(
    text('"'),
    anchoredStart ? empty : anyText(written),
    expression,
    anchoredEnd ? empty : anyText(written),
    text('"'),
  );
}

const day = "(0[1-9]|1[0-9]|2[0-8])";
const date = `[0-9]{4}-(${"(0[1-9]|1[0-2])"}-${day}|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)`;
const time =
  "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
const label = "[A-Za-z0-9]([A-Za-z0-9-]{0,28}[A-Za-z0-9])?";
const byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const path = "[A-Za-z0-9._~!$&'()*+,;=:@/-]*";

/** Regular expressions of the formats that are kept; each a part of what the format allows. */
export const formats: Readonly<Record<string, string>> = {
  date: `^(${date})$`,
  time: `^${time}$`,
  "date-time": `^(${date})T${time}$`,
  duration: "^P([0-9]{1,9}W|[0-9]{1,9}D(T[0-9]{1,9}H)?|T[0-9]{1,9}[HMS])$",
  uuid: "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
  email: `^[A-Za-z0-9_+-]{1,64}(\\.[A-Za-z0-9_+-]{1,64}){0,3}@(${label}\\.){1,4}[A-Za-z]{2,24}$`,
  hostname: `^${label}(\\.${label}){0,3}$`,
  ipv4: `^(${byte}\\.){3}${byte}$`,
  ipv6: "^([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}$",
  uri: `^[a-z][a-z0-9+.-]{1,15}://${label}(\\.${label}){0,3}(:[1-9][0-9]{0,3})?(/${path})?(\\?${path})?$`,
};

/** An object of min to max members of the same kind. */
export function object(key: Expression, value: Expression, min: number, max: number): Expression {
  const member = sequence(key, space, text(":"), space, value, space);
  return list("{", member, "}", min, max);
}

/** An array of min to max elements of the same kind. */
export function array(item: Expression, min: number, max: number): Expression {
  return list("[", sequence(item, space), "]", min, max);
}

function list(open: string, item: Expression, close: string, min: number, max: number) {
  if (max === 0) return sequence(text(open), space, text(close));
  const more = repeat(sequence(comma, item), Math.max(0, min - 1), max - 1);
  const items = sequence(item, more);
  return sequence(text(open), space, min > 0 ? items : optional(items), text(close));
}

/** A member's key that is none of `names`; written without escapes, so that it cannot hide one. */
export function otherKey(names: readonly string[]): Expression {
  return sequence(text('"'), notOneOf(names.map((name) => Array.from(name))), text('"'));
}

function notOneOf(names: readonly (readonly string[])[]): Expression {
  if (names.length === 0) return repeat(characters(plain));
  const heads = new Map<string, (readonly string[])[]>();
  for (const [head, ...tail] of names) {
    if (head !== undefined) heads.set(head, [...(heads.get(head) ?? []), tail]);
  }
  const others = intersection(plain, negated(setOf([...heads.keys()].join(""))));
  const items: Expression[] = [sequence(characters(others), repeat(characters(plain)))];
  for (const [head, tails] of heads) {
    if (plain.some(([a, b]) => a <= head.codePointAt(0)! && head.codePointAt(0)! <= b)) {
      items.push(sequence(characters(setOf(head)), notOneOf(tails)));
    }
  }
  return names.some((name) => name.length === 0) ? choice(...items) : choice(empty, ...items);
}
