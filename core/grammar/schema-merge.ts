// Schemas that apply together ($ref with siblings, allOf, anyOf beside keywords) made into one.
import { fail, isRecord, type Schema } from "./schema-keywords.ts";

/** Keywords that say nothing about what is allowed. */
const notes: ReadonlySet<string> = new Set([
  "$schema",
  "$id",
  "$comment",
  "$defs",
  "definitions",
  "title",
  "description",
  "default",
  "examples",
  "example",
  "deprecated",
  "readOnly",
  "writeOnly",
  "discriminator",
]);

/** The schema that a reference within the document names. Throws `bad_request`. */
export function resolve(root: unknown, reference: string, path: string): unknown {
  if (!/^#(\/|$)/.test(reference)) {
    fail(`${path}/$ref`, `"${reference}": only references within the schema (#/...) are followed`);
  }
  let target: unknown = root;
  for (const part of reference.split("/").slice(1)) {
    const name = decode(part).replaceAll("~1", "/").replaceAll("~0", "~");
    const isObject = typeof target === "object" && target !== null && Object.hasOwn(target, name);
    if (!isObject) fail(`${path}/$ref`, `"${reference}" is not there`);
    target = (target as Schema)[name];
  }
  return target;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const mostMerges = 20_000;

/** Merges schemas of one document. */
export class SchemaMerger {
  readonly #root: unknown;
  #depth = 0;
  #merges = 0;

  constructor(root: unknown) {
    this.#root = root;
  }

  /** Whether a schema restricts by other keywords than those named. */
  hasMore(schema: Schema, ...but: string[]): boolean {
    return Object.keys(schema).some((key) => !notes.has(key) && !but.includes(key));
  }

  /** A schema's `$ref` and `allOf` merged with what stands beside them. */
  flatten(schema: Schema, path: string): unknown {
    if (++this.#depth > 64) fail(path, "references and allOf without end");
    const { $ref, allOf, ...rest } = schema;
    let merged: unknown = rest;
    if ($ref !== undefined) {
      if (typeof $ref !== "string") fail(`${path}/$ref`, "a string expected");
      merged = this.merge(merged, resolve(this.#root, $ref, path), path);
    }
    if (allOf !== undefined && !Array.isArray(allOf)) fail(`${path}/allOf`, "a list expected");
    for (const [i, item] of ((allOf ?? []) as unknown[]).entries()) {
      merged = this.merge(merged, item, `${path}/allOf/${i}`);
    }
    this.#depth--;
    return merged;
  }

  /** A schema that allows what both allow. Throws `bad_request` where that is not supported. */
  merge(first: unknown, second: unknown, path: string): unknown {
    // References that are followed twice at each of many levels would take for ever.
    if (++this.#merges > mostMerges) fail(path, "references and allOf that grow without end");
    if (first === true) return second;
    if (second === true) return first;
    if (first === false || second === false) return false;
    if (!isRecord(first) || !isRecord(second)) fail(path, "a schema expected");
    const a = this.#flat(first, path);
    const b = this.#flat(second, path);
    if (!isRecord(a) || !isRecord(b)) return this.merge(a, b, path);
    const merged: Record<string, unknown> = Object.assign(Object.create(null), a);
    for (const [key, value] of Object.entries(b)) {
      merged[key] =
        Object.hasOwn(a, key) && !notes.has(key)
          ? this.#both(key, a[key], value, `${path}/${key}`)
          : value;
    }
    this.#items(a, b, merged, path);
    return closeProperties(a, b, merged, path);
  }

  #flat(schema: Schema, path: string): unknown {
    return schema.$ref === undefined && schema.allOf === undefined
      ? schema
      : this.flatten(schema, path);
  }

  #both(key: string, a: unknown, b: unknown, path: string): unknown {
    if (JSON.stringify(a) === JSON.stringify(b)) return a;
    switch (key) {
      case "type":
        return commonTypes(list(a), list(b), path);
      case "properties":
        return this.#properties(a as Schema, b as Schema, path);
      case "required":
        return [...new Set([...list(a), ...list(b)])];
      case "enum":
        return list(a).filter((x) => list(b).some((y) => JSON.stringify(x) === JSON.stringify(y)));
      case "additionalProperties":
      case "items":
        return this.merge(a, b, path);
      case "prefixItems":
        return a;
      case "minimum":
      case "exclusiveMinimum":
      case "minLength":
      case "minItems":
      case "minProperties":
        return Math.max(a as number, b as number);
      case "maximum":
      case "exclusiveMaximum":
      case "maxLength":
      case "maxItems":
      case "maxProperties":
        return Math.min(a as number, b as number);
      default:
        return fail(path, `two different "${key}" that apply together are not supported`);
    }
  }

  #properties(a: Schema, b: Schema, path: string): Schema {
    if (!isRecord(a) || !isRecord(b)) fail(path, "an object expected");
    const merged: Record<string, unknown> = Object.assign(Object.create(null), a);
    for (const [name, schema] of Object.entries(b)) {
      merged[name] = Object.hasOwn(a, name) ? { allOf: [a[name], schema] } : schema;
    }
    return merged;
  }

  /** `items` are those behind a schema's own `prefixItems`, which the other need not have. */
  #items(a: Schema, b: Schema, merged: Record<string, unknown>, path: string): void {
    const prefixes = [a, b].map((schema) => list(schema.prefixItems ?? []));
    const length = Math.max(...prefixes.map((prefix) => prefix.length));
    if (length === 0) return;
    const at = (schema: Schema, i: number): unknown =>
      i < list(schema.prefixItems ?? []).length
        ? list(schema.prefixItems)[i]
        : (schema.items ?? true);
    merged.prefixItems = Array.from({ length }, (_, i) =>
      this.merge(at(a, i), at(b, i), `${path}/prefixItems/${i}`),
    );
    if (merged.items !== undefined) merged.items = this.merge(at(a, length), at(b, length), path);
  }

  /**
   * oneOf allows a value that exactly one schema allows; that is anyOf where no two of them can allow
   * the same. Throws `bad_request` unless that is plain to see.
   */
  refuseOverlap(schemas: readonly unknown[], path: string): void {
    const flat = schemas.map((schema) => (isRecord(schema) ? this.#flat(schema, path) : schema));
    for (let i = 0; i < flat.length; i++) {
      for (let j = 0; j < i; j++) {
        if (this.#areDisjoint(flat[i], flat[j], path, 0)) continue;
        fail(path, `one value may match both ${j} and ${i}, which "oneOf" forbids: use "anyOf"`);
      }
    }
  }

  #areDisjoint(a: unknown, b: unknown, path: string, depth: number): boolean {
    if (a === false || b === false) return true;
    if (!isRecord(a) || !isRecord(b) || depth > 4) return false;
    const first = this.#flat(a, path);
    const second = this.#flat(b, path);
    if (!isRecord(first) || !isRecord(second)) return false;
    const [x, y] = [valuesOf(first), valuesOf(second)];
    if (x && y) return !x.some((v) => y.some((w) => JSON.stringify(v) === JSON.stringify(w)));
    const [s, t] = [typesOf(first), typesOf(second)];
    if (s && t && !s.some((type) => t.includes(type))) return true;
    const required = list(first.required ?? []).filter((n) =>
      list(second.required ?? []).includes(n),
    );
    return required.some((name) => {
      const [p, q] = [first.properties, second.properties].map(
        (all) => (all as Schema)?.[name as string],
      );
      return this.#areDisjoint(p, q, path, depth + 1);
    });
  }
}

/** Where one schema allows no other properties than its own, those of the other go. */
function closeProperties(
  a: Schema,
  b: Schema,
  merged: Record<string, unknown>,
  path: string,
): Schema {
  const properties = { ...((merged.properties as Schema | undefined) ?? {}) };
  const before = Object.keys(properties).length;
  for (const side of [a, b]) {
    const others = side.additionalProperties;
    if (others === undefined || others === true) continue;
    for (const name of Object.keys(properties)) {
      if (Object.hasOwn((side.properties as Schema | undefined) ?? {}, name)) continue;
      if (others !== false) fail(path, "additionalProperties beside another schema's properties");
      if (list(merged.required ?? []).includes(name))
        fail(path, `"${name}" is required, and not allowed`);
      delete properties[name];
    }
  }
  if (before > 0) merged.properties = properties;
  return merged;
}

function commonTypes(a: readonly unknown[], b: readonly unknown[], path: string): unknown {
  const common = a.filter(
    (type) => b.includes(type) || (type === "integer" && b.includes("number")),
  );
  if (a.includes("number") && b.includes("integer")) common.push("integer");
  if (common.length === 0) fail(path, "no type is allowed");
  return common;
}

function valuesOf(schema: Schema): readonly unknown[] | undefined {
  if (schema.const !== undefined) return [schema.const];
  return Array.isArray(schema.enum) ? schema.enum : undefined;
}

function typesOf(schema: Schema): unknown[] | undefined {
  const values = valuesOf(schema);
  if (values) return [...new Set(values.map(typeOf))];
  if (schema.type !== undefined)
    return list(schema.type).map((t) => (t === "integer" ? "number" : t));
  return schema.properties !== undefined ? ["object"] : undefined;
}

function typeOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}
