// The texts of strings and numbers that a JSON schema allows.
import { type Expression, rule } from "./expression.ts";
import { type Bound, decimals, integers } from "./json-number.ts";
import { formats, stringLike, stringOf } from "./json-text.ts";
import { count, fail, type Schema } from "./schema-keywords.ts";

/** A string's texts: its length, pattern or format. */
export function stringSchema(schema: Schema, path: string): Expression {
  const min = count(schema, "minLength", path) ?? 0;
  const max = count(schema, "maxLength", path) ?? Infinity;
  if (min > max) fail(`${path}/minLength`, "larger than maxLength");
  const hasLength = min > 0 || max !== Infinity;
  const { pattern, format } = schema;
  if (pattern !== undefined) {
    if (typeof pattern !== "string") fail(`${path}/pattern`, "a string expected");
    if (hasLength) fail(`${path}/pattern`, "not supported beside minLength or maxLength");
    if (format !== undefined) fail(`${path}/pattern`, "not supported beside format");
    return stringLike(pattern, `${path}/pattern`);
  }
  if (format !== undefined) {
    const known =
      typeof format === "string" && Object.hasOwn(formats, format) ? formats[format] : undefined;
    if (known === undefined) {
      const list = Object.keys(formats).join(", ");
      fail(`${path}/format`, `format ${JSON.stringify(format)} is not supported (${list} are)`);
    }
    if (hasLength) fail(`${path}/format`, "not supported beside minLength or maxLength");
    return stringLike(known, `${path}/format`);
  }
  return hasLength ? stringOf(min, max) : rule(" string");
}

/** What OpenAPI's formats of numbers mean. */
const numberFormats: Readonly<Record<string, [bigint, bigint] | undefined>> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  float: undefined,
  double: undefined,
};

/** A number's texts within its bounds. */
export function numberSchema(kind: "integer" | "number", schema: Schema, path: string): Expression {
  const low = bound(schema, "minimum", "exclusiveMinimum", 1, path);
  const high = bound(schema, "maximum", "exclusiveMaximum", -1, path);
  const { format } = schema;
  if (format !== undefined && !(typeof format === "string" && format in numberFormats)) {
    fail(`${path}/format`, `format ${JSON.stringify(format)} of a number is not supported`);
  }
  const formatRange = kind === "integer" ? numberFormats[format as string] : undefined;
  if (low === undefined && high === undefined && formatRange === undefined) {
    return rule(` ${kind}`);
  }
  let found: Expression | undefined;
  if (kind === "number") found = decimals(low, high);
  else {
    const least = low && whole(low, 1);
    const most = high && whole(high, -1);
    const [formatMin, formatMax] = formatRange ?? [undefined, undefined];
    found = integers(
      least === undefined || (formatMin !== undefined && formatMin > least) ? formatMin : least,
      most === undefined || (formatMax !== undefined && formatMax < most) ? formatMax : most,
    );
  }
  return found ?? fail(path, "no number lies between its bounds");
}

/** The nearest whole number within a bound. */
function whole({ value, exclusive }: Bound, direction: 1 | -1): bigint {
  const nearest = direction > 0 ? Math.ceil(value) : Math.floor(value);
  return BigInt(nearest) + (exclusive && nearest === value ? BigInt(direction) : 0n);
}

function bound(
  schema: Schema,
  inclusive: string,
  exclusive: string,
  direction: 1 | -1,
  path: string,
): Bound | undefined {
  let tightest: Bound | undefined;
  for (const keyword of [inclusive, exclusive]) {
    const value = schema[keyword];
    if (value === undefined) continue;
    if (typeof value !== "number") fail(`${path}/${keyword}`, "a number expected");
    if (Math.abs(value) > 1e15) fail(`${path}/${keyword}`, "not supported beyond 1e15");
    const candidate = { value, exclusive: keyword === exclusive };
    const difference = tightest === undefined ? 1 : (value - tightest.value) * direction;
    if (difference > 0 || (difference === 0 && candidate.exclusive)) tightest = candidate;
  }
  return tightest;
}
