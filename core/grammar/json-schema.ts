// JSON Schema (the common part of draft 2020-12) to a grammar of the JSON texts that it allows.
import { WrinkleFreeError } from "../errors.ts";
import {
  choice,
  type Expression,
  empty,
  type Grammar,
  optional,
  rule,
  sequence,
  text,
} from "./expression.ts";
import { type Bound, decimals, integers } from "./json-number.ts";
import {
  array,
  comma,
  formats,
  jsonRules,
  object,
  otherKey,
  space,
  stringLike,
  stringOf,
} from "./json-text.ts";
import { pointer, resolve, type Schema, SchemaMerger } from "./schema-merge.ts";

/**
 * The root rule matches JSON texts that validate against the schema, properties in their declared
 * order. It never allows an invalid text, but leaves out some valid ones: where `properties` or
 * `prefixItems` are given without `additionalProperties` or `items`, nothing more is allowed.
 * Throws `bad_request` naming the path of a keyword that is not supported.
 */
export function jsonSchemaGrammar(schema: unknown): Grammar {
  const compiler = new SchemaCompiler(schema);
  compiler.rules.set("root", compiler.any(schema, "#"));
  return { rules: compiler.rules, root: "root" };
}

const limits = { depth: 64, schemas: 20_000, rules: 7_000 };

const types = ["object", "array", "string", "number", "integer", "boolean", "null"] as const;
type Type = (typeof types)[number];

/** Keywords that restrict one type; they tell it where `type` is left out. */
const typeKeywords: Readonly<Record<string, Type>> = {
  properties: "object",
  required: "object",
  additionalProperties: "object",
  minProperties: "object",
  maxProperties: "object",
  items: "array",
  prefixItems: "array",
  minItems: "array",
  maxItems: "array",
  minLength: "string",
  maxLength: "string",
  pattern: "string",
  format: "string",
  minimum: "number",
  maximum: "number",
  exclusiveMinimum: "number",
  exclusiveMaximum: "number",
};

/** Keywords that restrict, and are not supported. Ones that JSON Schema does not know are notes. */
const unsupported: ReadonlySet<string> = new Set([
  "patternProperties",
  "propertyNames",
  "dependentRequired",
  "dependentSchemas",
  "dependencies",
  "if",
  "then",
  "else",
  "not",
  "contains",
  "minContains",
  "maxContains",
  "uniqueItems",
  "unevaluatedProperties",
  "unevaluatedItems",
  "additionalItems",
  "multipleOf",
  "$dynamicRef",
  "$recursiveRef",
]);

class SchemaCompiler {
  readonly rules = new Map<string, Expression>(jsonRules);
  readonly #root: unknown;
  readonly #merger: SchemaMerger;
  readonly #references = new Map<unknown, string>();
  #depth = 0;
  #count = 0;

  constructor(root: unknown) {
    this.#root = root;
    this.#merger = new SchemaMerger(root);
  }

  /** The texts that a schema allows; `path` is its JSON pointer. */
  any(schema: unknown, path: string): Expression {
    if (schema === true) return rule(" value");
    if (schema === false) fail(path, "no value is allowed");
    if (typeof schema !== "object" || schema === null || Array.isArray(schema)) {
      fail(path, "a schema is an object or a boolean");
    }
    if (++this.#count > limits.schemas) fail(path, "the schema is too large");
    if (++this.#depth > limits.depth) fail(path, `nested more than ${limits.depth} deep`);
    const expression = this.#schema(schema as Schema, path);
    this.#depth--;
    return expression;
  }

  #schema(schema: Schema, path: string): Expression {
    refuseUnsupported(schema, path);
    if (typeof schema.$ref === "string" && !this.#merger.hasMore(schema, "$ref")) {
      return this.#reference(schema.$ref, path);
    }
    if (schema.$ref !== undefined || schema.allOf !== undefined) {
      return this.any(this.#merger.flatten(schema, path), path);
    }
    for (const keyword of ["anyOf", "oneOf"]) {
      if (schema[keyword] !== undefined) return this.#union(schema, keyword, path);
    }
    if (schema.const !== undefined) return this.#values([schema.const], schema, path, "const");
    if (schema.enum !== undefined) return this.#enum(schema, path);
    return this.#typed(schema, path);
  }

  #reference(reference: string, path: string): Expression {
    const target = resolve(this.#root, reference, path);
    let name = this.#references.get(target);
    if (name === undefined) {
      name = reference;
      this.#references.set(target, name);
      // The rule is there before its own schema is read: schemas may refer to themselves.
      this.#define(name, empty, path);
      const depth = this.#depth;
      this.#depth = 0;
      this.rules.set(name, this.any(target, reference));
      this.#depth = depth;
    }
    return rule(name);
  }

  #define(name: string, expression: Expression, path: string): Expression {
    if (this.rules.size >= limits.rules) fail(path, "the schema is too large");
    this.rules.set(name, expression);
    return rule(name);
  }

  #union(schema: Schema, keyword: string, path: string): Expression {
    const { [keyword]: list, ...base } = schema;
    const place = `${path}/${keyword}`;
    if (!Array.isArray(list) || list.length === 0) fail(place, "a list of schemas expected");
    if (keyword === "oneOf") this.#merger.refuseOverlap(list, place);
    const items = list.map((item, i) => {
      const at = `${place}/${i}`;
      if (!this.#merger.hasMore(base)) return this.any(item, at);
      return this.any(this.#merger.merge(base, item, at), at);
    });
    return choice(...items);
  }

  #enum(schema: Schema, path: string): Expression {
    const values = schema.enum;
    if (!Array.isArray(values)) fail(`${path}/enum`, "a list of values expected");
    return this.#values(values, schema, path, "enum");
  }

  #values(values: readonly unknown[], schema: Schema, path: string, keyword: string): Expression {
    for (const other of Object.keys(typeKeywords)) {
      if (schema[other] !== undefined)
        fail(`${path}/${other}`, `not supported beside "${keyword}"`);
    }
    const allowed = schema.type === undefined ? undefined : typesOf(schema.type, path);
    const fitting = values.filter((value) => !allowed || allowed.some((t) => isOfType(value, t)));
    if (fitting.length === 0) fail(`${path}/${keyword}`, "no value is allowed");
    return choice(...fitting.map((value) => text(JSON.stringify(value))));
  }

  #typed(schema: Schema, path: string): Expression {
    const kinds = schema.type === undefined ? impliedTypes(schema) : typesOf(schema.type, path);
    if (kinds === undefined) return rule(" value");
    if (schema.nullable === true && !kinds.includes("null")) kinds.push("null");
    return choice(...kinds.map((kind) => this.#ofType(kind, schema, path)));
  }

  #ofType(kind: Type, schema: Schema, path: string): Expression {
    switch (kind) {
      case "object":
        return this.#object(schema, path);
      case "array":
        return this.#array(schema, path);
      case "string":
        return stringSchema(schema, path);
      case "boolean":
        return choice(text("true"), text("false"));
      case "null":
        return text("null");
      default:
        return numberSchema(kind, schema, path);
    }
  }

  #object(schema: Schema, path: string): Expression {
    const properties = schema.properties ?? {};
    const required = schema.required ?? [];
    if (!isRecord(properties)) fail(`${path}/properties`, "an object expected");
    if (!Array.isArray(required) || required.some((name) => typeof name !== "string")) {
      fail(`${path}/required`, "a list of names expected");
    }
    const names = Object.keys(properties);
    const min = count(schema, "minProperties", path) ?? 0;
    const max = count(schema, "maxProperties", path) ?? Infinity;
    const others = schema.additionalProperties ?? names.length === 0;
    if (names.length === 0 && required.length === 0) {
      if (min > max) fail(`${path}/minProperties`, "larger than maxProperties");
      if (others === false) {
        if (min > 0) fail(`${path}/minProperties`, "no property is allowed");
        return object(rule(" string"), rule(" value"), 0, 0);
      }
      const value = this.any(others, `${path}/additionalProperties`);
      // The same key twice would count once: keys are not told apart.
      if (min > 1) fail(`${path}/minProperties`, "not supported above 1");
      return object(rule(" string"), value, min, max);
    }
    if (min > required.length) fail(`${path}/minProperties`, "not supported beside properties");
    if (max < names.length) fail(`${path}/maxProperties`, "not supported beside properties");
    for (const name of required) {
      if (names.includes(name)) continue;
      if (schema.additionalProperties === false) {
        fail(`${path}/required`, `property "${name}" is not allowed`);
      }
      names.push(name);
    }
    if (others !== false && max !== Infinity) {
      fail(`${path}/maxProperties`, "not supported beside properties");
    }
    return this.#members(names, properties, new Set(required), others, path);
  }

  /** Members in the order of `names`; optional ones may be left out; then others. */
  #members(
    names: readonly string[],
    properties: Schema,
    required: ReadonlySet<unknown>,
    others: unknown,
    path: string,
  ): Expression {
    const pair = (key: Expression, value: Expression) =>
      sequence(key, space, text(":"), space, value, space);
    let first: Expression = empty;
    let later: Expression = empty;
    if (others !== false) {
      const value = this.any(others, `${path}/additionalProperties`);
      const other = this.#named(pair(otherKey(names), value), path);
      later = { kind: "repeat", item: sequence(comma, other), min: 0, max: Infinity };
      first = optional(sequence(other, later));
    }
    // From the last member to the first: what may follow where a member came before, or none did.
    for (const name of [...names].reverse()) {
      const own = Object.hasOwn(properties, name);
      const at = own ? `${path}/properties/${pointer(name)}` : `${path}/additionalProperties`;
      const value = this.any(own ? properties[name] : others || true, at);
      const member = this.#named(pair(text(JSON.stringify(name)), value), path);
      const rest = this.#named(later, path);
      const begin = sequence(member, rest);
      const goOn = sequence(comma, member, rest);
      if (required.has(name)) {
        first = begin;
        later = goOn;
      } else {
        first = choice(begin, this.#named(first, path));
        later = choice(goOn, rest);
      }
    }
    return sequence(text("{"), space, first, text("}"));
  }

  /** A rule of its own for what is used twice. */
  #named(expression: Expression, path: string): Expression {
    if (expression === empty || expression.kind === "rule") return expression;
    return this.#define(` ${this.rules.size}`, expression, path);
  }

  #array(schema: Schema, path: string): Expression {
    const min = count(schema, "minItems", path) ?? 0;
    const max = count(schema, "maxItems", path) ?? Infinity;
    if (min > max) fail(`${path}/minItems`, "larger than maxItems");
    const prefix = schema.prefixItems;
    const rest = schema.items ?? prefix === undefined;
    if (Array.isArray(rest)) fail(`${path}/items`, 'a list of schemas; it is "prefixItems" now');
    if (prefix === undefined) {
      if (rest === false || max === 0) {
        if (min > 0) fail(`${path}/minItems`, "no item is allowed");
        return array(rule(" value"), 0, 0);
      }
      return array(this.any(rest, `${path}/items`), min, max);
    }
    if (!Array.isArray(prefix)) fail(`${path}/prefixItems`, "a list of schemas expected");
    return this.#tuple(prefix, rest, min, max, path);
  }

  #tuple(
    prefix: readonly unknown[],
    rest: unknown,
    min: number,
    max: number,
    path: string,
  ): Expression {
    const known = Math.min(prefix.length, max);
    if (rest === false && min > prefix.length) fail(`${path}/minItems`, "so many are not allowed");
    let tail: Expression = empty;
    if (rest !== false && max > prefix.length) {
      const item = sequence(comma, this.any(rest, `${path}/items`), space);
      const least = Math.max(0, min - prefix.length);
      tail = { kind: "repeat", item, min: least, max: max - prefix.length };
    }
    for (let i = known - 1; i >= 0; i--) {
      const item = this.any(prefix[i], `${path}/prefixItems/${i}`);
      const here = sequence(i > 0 ? comma : empty, item, space, tail);
      tail = i < min ? here : optional(this.#named(here, path));
    }
    return sequence(text("["), space, tail, text("]"));
  }
}

function stringSchema(schema: Schema, path: string): Expression {
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
    const known = typeof format === "string" ? formats[format] : undefined;
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

function numberSchema(kind: "integer" | "number", schema: Schema, path: string): Expression {
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

function refuseUnsupported(schema: Schema, path: string): void {
  for (const [keyword, value] of Object.entries(schema)) {
    if (!unsupported.has(keyword)) continue;
    const harmless =
      (keyword === "uniqueItems" && value === false) ||
      (keyword === "multipleOf" && value === 1 && schema.type === "integer") ||
      (keyword.startsWith("unevaluated") && value === true) ||
      (keyword === "patternProperties" && isRecord(value) && Object.keys(value).length === 0) ||
      keyword === "additionalItems";
    if (!harmless) fail(`${path}/${pointer(keyword)}`, `"${keyword}" is not supported`);
  }
}

function typesOf(type: unknown, path: string): Type[] {
  const list = Array.isArray(type) ? type : [type];
  const known = list.filter((t): t is Type => types.includes(t as Type));
  if (known.length === 0 || known.length < list.length) {
    fail(`${path}/type`, `no type: ${JSON.stringify(type)}`);
  }
  return [...new Set(known)];
}

function impliedTypes(schema: Schema): Type[] | undefined {
  for (const [keyword, type] of Object.entries(typeKeywords)) {
    if (schema[keyword] !== undefined) return [type];
  }
  return undefined;
}

function isOfType(value: unknown, type: Type): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isRecord(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}

function count(schema: Schema, keyword: string, path: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !(Number.isInteger(value) && value >= 0)) {
    fail(`${path}/${keyword}`, "a whole number of at least 0 expected");
  }
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fail(path: string, what: string): never {
  throw new WrinkleFreeError("bad_request", `JSON schema, ${path}: ${what}`, { field: path });
}
