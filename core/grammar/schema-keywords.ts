// Keywords of JSON Schema: which are known, what their values must be, how errors name them.
import { WrinkleFreeError } from "../errors.ts";

export type Schema = Readonly<Record<string, unknown>>;

const types = ["object", "array", "string", "number", "integer", "boolean", "null"] as const;
export type Type = (typeof types)[number];

/** Keywords that restrict one type; they tell it where `type` is left out. */
export const typeKeywords: Readonly<Record<string, Type>> = {
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

/** A name as it stands in a JSON pointer. */
export function pointer(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

/** Throws for a keyword that restricts and is not supported. */
export function refuseUnsupported(schema: Schema, path: string): void {
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

/** The values of a `type` keyword. */
export function typesOf(type: unknown, path: string): Type[] {
  const list = Array.isArray(type) ? type : [type];
  const known = list.filter((t): t is Type => types.includes(t as Type));
  if (known.length === 0 || known.length < list.length) {
    fail(`${path}/type`, `no type: ${JSON.stringify(type)}`);
  }
  return [...new Set(known)];
}

/** The type that other keywords tell; undefined = any. */
export function impliedTypes(schema: Schema): Type[] | undefined {
  for (const [keyword, type] of Object.entries(typeKeywords)) {
    if (schema[keyword] !== undefined) return [type];
  }
  return undefined;
}

export function isOfType(value: unknown, type: Type): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isRecord(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}

/** A keyword's value that must be a count. */
export function count(schema: Schema, keyword: string, path: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !(Number.isInteger(value) && value >= 0)) {
    fail(`${path}/${keyword}`, "a whole number of at least 0 expected");
  }
  return value;
}

export function isRecord(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Throws `bad_request` naming the place in the schema. */
export function fail(path: string, what: string): never {
  throw new WrinkleFreeError("bad_request", `JSON schema, ${path}: ${what}`, { field: path });
}
