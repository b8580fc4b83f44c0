// Reads and checks request bodies: JSON within a size limit, then a TypeBox schema that names the wrong field.
import type { Static, TSchema } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler, ValueErrorType } from "@sinclair/typebox/compiler";
import { badField, HttpError } from "./errors.ts";

/**
 * The request's JSON body. The content type is not looked at: `curl -d` sends a wrong one.
 * Throws 413 past `limit` bytes and 400 when it is not a JSON object.
 */
export async function readJson(request: Request, limit: number): Promise<Record<string, unknown>> {
  const text = await readText(request, limit);
  checkDepth(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = text.trim() === "" ? "it is empty" : (error as Error).message;
    throw new HttpError("invalid_request_error", `The body is not valid JSON: ${reason}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new HttpError("invalid_request_error", "The body must be a JSON object.");
  }
  return value as Record<string, unknown>;
}

/** Levels of lists and objects in each other; recursive readers get no deeper ones to see. */
const deepest = 128;

/** Throws 400 for JSON that is nested past any use, before anything walks through it. */
function checkDepth(text: string): void {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (inString) {
      if (unit === 0x5c) i++;
      else if (unit === 0x22) inString = false;
    } else if (unit === 0x22) inString = true;
    else if (unit === 0x5b || unit === 0x7b) {
      if (++depth > deepest) {
        const message = `The body is nested more than ${deepest} levels deep.`;
        throw new HttpError("invalid_request_error", message);
      }
    } else if (unit === 0x5d || unit === 0x7d) depth--;
  }
}

async function readText(request: Request, limit: number): Promise<string> {
  const tooLarge = (): HttpError =>
    new HttpError("invalid_request_error", `The body is larger than ${limit} bytes.`, {
      status: 413,
      headers: { connection: "close" },
    });
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (encoding !== "identity") {
    const message = `Bodies in Content-Encoding '${encoding}' are not read here; send plain JSON.`;
    throw new HttpError("invalid_request_error", message, { status: 415 });
  }
  if (Number(request.headers.get("content-length") ?? 0) > limit) throw tooLarge();
  if (!request.body) return "";
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
    length += chunk.byteLength;
    if (length > limit) throw tooLarge();
    chunks.push(chunk);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new HttpError("invalid_request_error", "The body is not valid UTF-8.");
  }
}

/** Checks bodies against one schema. Unknown fields pass; null is the same as absent. */
export class BodyCheck<T extends TSchema> {
  readonly schema: T;
  #check: TypeCheck<T> | undefined;

  constructor(schema: T) {
    this.schema = schema;
  }

  /** The body without its null fields. Throws 400 naming the first field that is wrong. */
  parse(body: Readonly<Record<string, unknown>>): Static<T> {
    const value: Record<string, unknown> = Object.create(null);
    for (const key of Object.keys(body)) if (body[key] !== null) value[key] = body[key];
    this.#check ??= TypeCompiler.Compile(this.schema);
    if (this.#check.Check(value)) return value as Static<T>;
    const error = this.#check.Errors(value).First();
    if (!error) throw new HttpError("invalid_request_error", "The body does not fit.");
    const param = fieldName(error.path);
    if (error.type === ValueErrorType.ObjectRequiredProperty) {
      throw badField(param, `Field '${param}' is required: ${describeSchema(error.schema)}.`);
    }
    throw badField(
      param,
      `Field '${param}' must be ${describeSchema(error.schema)}, not ${describeValue(error.value)}.`,
    );
  }
}

/** "/messages/0/content" as "messages[0].content". */
function fieldName(path: string): string {
  const parts = path.split("/").slice(1);
  return parts
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part, i) => (/^\d+$/.test(part) ? `[${part}]` : i === 0 ? part : `.${part}`))
    .join("");
}

/** A schema in a few words: "an integer from 0 to 20". */
export function describeSchema(schema: TSchema): string {
  if (typeof schema.expected === "string") return schema.expected;
  if (Array.isArray(schema.anyOf)) {
    const variants: TSchema[] = schema.anyOf;
    if (variants.every((v) => v.const !== undefined)) {
      return `one of ${variants.map((v) => JSON.stringify(v.const)).join(", ")}`;
    }
    return [...new Set(variants.map(describeSchema))].join(" or ");
  }
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const noun = nouns[schema.type as string] ?? "a value of another type";
  if (schema.type === "array" && schema.items) return `${noun} of ${plural(schema.items)}`;
  return noun + range(schema);
}

const nouns: Readonly<Record<string, string>> = {
  integer: "an integer",
  number: "a number",
  string: "a string",
  boolean: "a boolean",
  array: "a list",
  object: "an object",
  null: "null",
};

function plural(items: TSchema): string {
  if (Array.isArray(items.anyOf)) return items.anyOf.map(plural).join(" or ");
  return `${(items.type as string) ?? "value"}s`;
}

function range(schema: TSchema): string {
  const from = schema.minimum ?? schema.exclusiveMinimum ?? schema.minItems ?? schema.minLength;
  const to = schema.maximum ?? schema.exclusiveMaximum ?? schema.maxItems ?? schema.maxLength;
  const above = schema.exclusiveMinimum !== undefined;
  if (from !== undefined && to !== undefined)
    return ` ${above ? "above" : "from"} ${from} to ${to}`;
  if (from !== undefined) return above ? ` above ${from}` : ` of at least ${from}`;
  return to === undefined ? "" : ` of at most ${to}`;
}

function describeValue(value: unknown): string {
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
