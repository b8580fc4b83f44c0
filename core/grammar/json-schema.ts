// JSON Schema (the common part of draft 2020-12) to a grammar of the JSON texts that it allows.
import { isDeepStrictEqual } from "node:util";
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
import { numberSchema, stringSchema } from "./json-scalars.ts";
import { array, comma, jsonRules, object, otherKey, space } from "./json-text.ts";
import {
  count,
  fail,
  impliedTypes,
  isOfType,
  isRecord,
  pointer,
  refuseUnsupported,
  type Schema,
  type Type,
  typeKeywords,
  typesOf,
} from "./schema-keywords.ts";
import { resolve, SchemaMerger } from "./schema-merge.ts";

/**
 * The root rule matches JSON texts that validate against the schema, properties in their declared
 * order. It never allows an invalid text, but leaves out some valid ones: where `properties` or
 * `prefixItems` are given without `additionalProperties` or `items`, nothing more is allowed.
 * Throws `bad_request` naming the path of a keyword that is not supported.
 */
export function jsonSchemaGrammar(schema: unknown): Grammar {
  const rules = new Map<string, Expression>(jsonRules);
  rules.set("root", jsonSchemaExpression(schema, rules, "#"));
  return { rules, root: "root" };
}

/**
 * The texts of a schema as a part of a larger grammar, whose `rules` hold jsonRules already.
 * @param path where the schema stands, for errors; also tells its rules from other schemas'
 */
export function jsonSchemaExpression(
  schema: unknown,
  rules: Map<string, Expression>,
  path: string,
): Expression {
  return new SchemaCompiler(schema, rules, path).any(schema, path);
}

const limits = { depth: 64, schemas: 20_000, rules: 7_000 };

class SchemaCompiler {
  readonly #rules: Map<string, Expression>;
  readonly #root: unknown;
  readonly #path: string;
  readonly #merger: SchemaMerger;
  readonly #references = new Map<unknown, string>();
  #depth = 0;
  #count = 0;

  constructor(root: unknown, rules: Map<string, Expression>, path: string) {
    this.#rules = rules;
    this.#root = root;
    this.#path = path;
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
    if (schema.const !== undefined) return this.#const(schema, path);
    if (schema.enum !== undefined) return this.#enum(schema, path);
    return this.#typed(schema, path);
  }

  #reference(reference: string, path: string): Expression {
    const target = resolve(this.#root, reference, path);
    let name = this.#references.get(target);
    if (name === undefined) {
      name = `${this.#path} ${reference}`;
      this.#references.set(target, name);
      // The rule is there before its own schema is read: schemas may refer to themselves.
      this.#define(name, empty, path);
      const depth = this.#depth;
      this.#depth = 0;
      this.#rules.set(name, this.any(target, this.#path + reference.slice(1)));
      this.#depth = depth;
    }
    return rule(name);
  }

  #define(name: string, expression: Expression, path: string): Expression {
    if (this.#rules.size >= limits.rules) fail(path, "the schema is too large");
    this.#rules.set(name, expression);
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

  #const(schema: Schema, path: string): Expression {
    const { const: value, enum: list } = schema;
    if (Array.isArray(list) && !list.some((other) => isDeepStrictEqual(other, value))) {
      fail(`${path}/const`, 'not a value of "enum"');
    }
    return this.#values([value], schema, path, "const");
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
      return object(rule(" string"), this.#named(value, path), min, max);
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
    return this.#define(` ${this.#rules.size}`, expression, path);
  }

  #array(schema: Schema, path: string): Expression {
    const min = count(schema, "minItems", path) ?? 0;
    const max = count(schema, "maxItems", path) ?? Infinity;
    if (min > max) fail(`${path}/minItems`, "larger than maxItems");
    const prefix = schema.prefixItems;
    const rest = schema.items ?? prefix === undefined;
    if (Array.isArray(rest)) fail(`${path}/items`, 'a list of schemas; it is "prefixItems" now');
    if (prefix === undefined || (Array.isArray(prefix) && prefix.length === 0)) {
      if (rest === false || max === 0) {
        if (min > 0) fail(`${path}/minItems`, "no item is allowed");
        return array(rule(" value"), 0, 0);
      }
      return array(this.#named(this.any(rest, `${path}/items`), path), min, max);
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
