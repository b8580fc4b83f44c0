// Decimal numbers within bounds, as a grammar of their digits.
import {
  characters,
  choice,
  type Expression,
  empty,
  optional,
  repeat,
  sequence,
  text,
} from "./expression.ts";

/** Digits of a whole part, or a fraction, where no bound says less. */
const wholeDigits = 16;
const fractionDigits = 16;

export interface Bound {
  /** As JSON writes it, but without exponent. */
  readonly value: number;
  /** The bound itself is left out. */
  readonly exclusive: boolean;
}

const digit = characters([[0x30, 0x39]]);
const range = (from: number, to: number): Expression => characters([[0x30 + from, 0x30 + to]]);
const anyDigits = repeat(digit, 0, fractionDigits);
const zeros = repeat(text("0"), 0, fractionDigits);
const notZero = sequence(zeros, range(1, 9), anyDigits);

/** Some of the alternatives may be impossible (undefined); undefined when all are. */
function oneOf(...items: (Expression | undefined)[]): Expression | undefined {
  const possible = items.filter((item) => item !== undefined);
  return possible.length === 0 ? undefined : choice(...possible);
}

function join(head: Expression, tail: Expression | undefined): Expression | undefined {
  return tail === undefined ? undefined : sequence(head, tail);
}

/**
 * Whole numbers from min to max, both included; no end where undefined. Undefined when there is
 * none.
 */
export function integers(min: bigint | undefined, max: bigint | undefined): Expression | undefined {
  if (min !== undefined && max !== undefined && min > max) return undefined;
  const negativeMax = max !== undefined && max < 0n ? -max : 1n;
  const negative =
    min === undefined || min < 0n
      ? join(text("-"), naturals(negativeMax, min === undefined ? undefined : -min))
      : undefined;
  const least = min === undefined || min < 0n ? 0n : min;
  return oneOf(negative, max !== undefined && max < 0n ? undefined : naturals(least, max));
}

/** Whole numbers from 0 <= min to max, without leading zeros. */
function naturals(min: bigint, max: bigint | undefined): Expression | undefined {
  if (max !== undefined && min > max) return undefined;
  const low = String(min);
  if (max === undefined) {
    const more = Math.max(wholeDigits, low.length + 1) - low.length;
    const longer = sequence(range(1, 9), repeat(digit, low.length, low.length + more - 1));
    return choice(alike(low, "9".repeat(low.length)), longer);
  }
  const high = String(max);
  if (low.length === high.length) return alike(low, high);
  const items = [alike(low, "9".repeat(low.length))];
  if (high.length - low.length > 1) {
    items.push(sequence(range(1, 9), repeat(digit, low.length, high.length - 2)));
  }
  return choice(...items, alike(`1${"0".repeat(high.length - 1)}`, high));
}

/** Digit strings of one length from low to high. */
function alike(low: string, high: string): Expression {
  if (low === "") return empty;
  if (/^0*$/.test(low) && /^9*$/.test(high)) return repeat(digit, low.length, low.length);
  const [a, b] = [Number(low[0]), Number(high[0])];
  const rest = low.length - 1;
  if (a === b) return sequence(text(low[0]!), alike(low.slice(1), high.slice(1)));
  const items = [sequence(text(low[0]!), alike(low.slice(1), "9".repeat(rest)))];
  if (b - a > 1) items.push(sequence(range(a + 1, b - 1), repeat(digit, rest, rest)));
  items.push(sequence(text(high[0]!), alike("0".repeat(rest), high.slice(1))));
  return choice(...items);
}

/** Decimal numbers between bounds, without exponent. Undefined when there is none. */
export function decimals(low: Bound | undefined, high: Bound | undefined): Expression | undefined {
  const negate = (bound: Bound): Bound => ({ ...bound, value: -bound.value });
  const zero: Bound = { value: 0, exclusive: true };
  let negative: Expression | undefined;
  if (low === undefined || low.value < 0) {
    const nearest = high !== undefined && high.value <= 0 ? negate(high) : zero;
    const inner = magnitudes(
      nearest.value === 0 ? zero : nearest,
      low === undefined ? undefined : negate(low),
    );
    negative = join(text("-"), inner);
  }
  if (high !== undefined && high.value < 0) return negative;
  const least = low === undefined || low.value < 0 ? { value: 0, exclusive: false } : low;
  return oneOf(negative, magnitudes(least, high));
}

/** Numbers without sign; 0 <= low. */
function magnitudes(low: Bound, high: Bound | undefined): Expression | undefined {
  const a = decimal(low.value);
  if (high === undefined) {
    return oneOf(
      join(text(a.whole), fraction(atLeast(a.fraction, low.exclusive), a.fraction, low)),
      join(naturals(BigInt(a.whole) + 1n, undefined)!, optional(sequence(text("."), someDigits))),
    );
  }
  const b = decimal(high.value);
  const [first, last] = [BigInt(a.whole), BigInt(b.whole)];
  if (first > last) return undefined;
  if (first === last) {
    if (b.fraction === "" && high.exclusive) return undefined;
    const between = within(a.fraction, low.exclusive, b.fraction, high.exclusive);
    return join(text(a.whole), fraction(between, a.fraction, low));
  }
  const middle = naturals(first + 1n, last - 1n);
  const isPossible = b.fraction !== "" || !high.exclusive;
  const atEnd = isPossible ? atMost(b.fraction, high.exclusive) : undefined;
  return oneOf(
    join(text(a.whole), fraction(atLeast(a.fraction, low.exclusive), a.fraction, low)),
    middle === undefined ? undefined : sequence(middle, optional(sequence(text("."), someDigits))),
    join(text(b.whole), fraction(atEnd, "", { value: 0, exclusive: !isPossible })),
  );
}

const someDigits = repeat(digit, 1, fractionDigits);

/** "." and digits; nothing at all where the lower bound is a whole number that is allowed. */
function fraction(
  digits: Expression | undefined,
  low: string,
  { exclusive }: Bound,
): Expression | undefined {
  const none = low === "" && !exclusive ? empty : undefined;
  return oneOf(none, digits === undefined ? undefined : sequence(text("."), nonEmpty(digits)));
}

/** A point is followed by a digit at least: "0" where the digits may be none. */
function nonEmpty(digits: Expression): Expression {
  if (digits === anyDigits) return someDigits;
  if (digits === zeros) return repeat(text("0"), 1, fractionDigits);
  return digits;
}

/** Digits of fractions >= low (or > low). */
function atLeast(low: string, exclusive: boolean): Expression {
  if (low === "") return exclusive ? notZero : anyDigits;
  const first = Number(low[0]);
  const equal = sequence(text(low[0]!), atLeast(low.slice(1), exclusive));
  return first === 9 ? equal : choice(sequence(range(first + 1, 9), anyDigits), equal);
}

/** Digits, at least one, of fractions <= high (or < high). */
function atMost(high: string, exclusive: boolean): Expression | undefined {
  if (high === "") return exclusive ? undefined : zeros;
  const first = Number(high[0]);
  const rest = high.slice(1);
  const tail = rest === "" ? atMost("", exclusive) : choice(empty, atMost(rest, exclusive)!);
  const below = first > 0 ? sequence(range(0, first - 1), anyDigits) : undefined;
  return oneOf(below, join(text(high[0]!), tail));
}

/** Digits of fractions between two. */
function within(
  low: string,
  lowExclusive: boolean,
  high: string,
  highExclusive: boolean,
): Expression | undefined {
  if (high === "") return low === "" && !lowExclusive && !highExclusive ? zeros : undefined;
  const [a, b] = [Number(low[0] ?? 0), Number(high[0])];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (a > b) return undefined;
  if (a === b) {
    const rest = within(lowRest, lowExclusive, highRest, highExclusive);
    const none = lowRest === "" && !lowExclusive && (highRest !== "" || !highExclusive);
    return join(text(String(a)), oneOf(none ? empty : undefined, rest));
  }
  const top =
    highRest === "" ? atMost("", highExclusive) : choice(empty, atMost(highRest, highExclusive)!);
  return oneOf(
    sequence(text(String(a)), atLeast(lowRest, lowExclusive)),
    b - a > 1 ? sequence(range(a + 1, b - 1), anyDigits) : undefined,
    join(text(String(b)), top),
  );
}

/** A number's digits before and after the point, without an exponent or trailing zeros. */
function decimal(value: number): { whole: string; fraction: string } {
  const [mantissa, exponent = "0"] = String(Math.abs(value)).split("e");
  const [head, tail = ""] = mantissa!.split(".");
  const shift = Number(exponent);
  const digits = head! + tail;
  const point = head!.length + shift;
  const padded = point <= 0 ? "0".repeat(1 - point) + digits : digits.padEnd(point, "0");
  const at = Math.max(point, 1);
  return {
    whole: padded.slice(0, at).replace(/^0+(?=\d)/, ""),
    fraction: padded.slice(at).replace(/0+$/, ""),
  };
}
