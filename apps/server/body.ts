// Reads request bodies within limits of size and time, and checks them by a schema that names the wrong field.
import type { Static, TSchema } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler, ValueErrorType } from "@sinclair/typebox/compiler";
import { badField, HttpError } from "./errors.ts";
import type { Limits } from "./state.ts";

/** Reads the bodies of one server, which arrive side by side. */
export class BodyReader {
  readonly #limits: Limits;
  #arriving = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /**
   * The request's JSON body. The content type is not looked at: `curl -d` sends a wrong one. Throws
   * 413 past the limit of bytes, 408 past that of time, 429 when too many bodies arrive at the same
   * time, 415 for packed bodies, and 400 when it is not a JSON object.
   */
  async json(request: Request): Promise<Record<string, unknown>> {
    const text = await this.#text(request);
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

  async #text(request: Request): Promise<string> {
    const { bodyBytes } = this.#limits;
    const encoding = request.headers.get("content-encoding") ?? "identity";
    if (encoding !== "identity") {
      const message = `Bodies in Content-Encoding '${encoding}' are not read here; send plain JSON.`;
      throw new HttpError("invalid_request_error", message, { status: 415 });
    }
    if (Number(request.headers.get("content-length") ?? 0) > bodyBytes) throw tooLarge(bodyBytes);
    if (!request.body) return "";
    const bytes = await this.#bytes(request.body);
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      throw new HttpError("invalid_request_error", "The body is not valid UTF-8.");
    }
  }

  async #bytes(body: ReadableStream<Uint8Array>): Promise<Uint8Array> {
    const { bodyBytes, bodyMs, arrivingBytes } = this.#limits;
    const reader = body.getReader();
    const chunks: Uint8Array[] = [];
    let length = 0;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      reader.cancel().catch(() => {});
    }, bodyMs);
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (late) throw tooSlow(bodyMs);
        if (done) return Buffer.concat(chunks);
        length += value.byteLength;
        this.#arriving += value.byteLength;
        if (length > bodyBytes) throw tooLarge(bodyBytes);
        if (this.#arriving > arrivingBytes) throw tooMany(arrivingBytes);
        chunks.push(value);
      }
    } finally {
      clearTimeout(timer);
      this.#arriving -= length;
    }
  }
}

/** After these the rest of the body is not read, so nothing more can come on the connection. */
const close = { connection: "close" };

function tooLarge(limit: number): HttpError {
  const message = `The body is larger than ${limit} bytes.`;
  return new HttpError("invalid_request_error", message, { status: 413, headers: close });
}

function tooSlow(ms: number): HttpError {
  const message = `The body did not arrive within ${ms} ms.`;
  return new HttpError("invalid_request_error", message, { status: 408, headers: close });
}

function tooMany(limit: number): HttpError {
  const message = `More than ${limit} bytes of bodies arrive at the same time; try again.`;
  return new HttpError("rate_limit_error", message, { headers: { ...close, "retry-after": "1" } });
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
