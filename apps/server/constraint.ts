// What the generated text must match: a grammar, a JSON schema, an expression or a list of choices.
import { Type } from "@sinclair/typebox";
import { checkConstraint, type GenerateRequest, WrinkleFreeError } from "../../core/index.ts";
import { badField, sentences } from "./errors.ts";

export type Constraint = NonNullable<GenerateRequest["constraint"]>;

const optional = Type.Optional;
const schemaType = Type.Union([Type.Record(Type.String(), Type.Any()), Type.Boolean()], {
  expected: "a JSON schema",
});

/** The fields that constrain the text; at most one of them may be given. */
export const constraintFields = {
  grammar: optional(Type.String({ description: "GBNF grammar that the text must match." })),
  grammar_lazy: optional(
    Type.Boolean({ description: "The grammar holds from the first trigger on only." }),
  ),
  grammar_triggers: optional(
    Type.Array(
      Type.Object({
        type: Type.Union([Type.Integer(), Type.String()]),
        value: Type.String(),
      }),
      { description: "Words (type 1 or 'word') that switch a lazy grammar on." },
    ),
  ),
  json_schema: optional(schemaType),
  guided_json: optional(schemaType),
  guided_regex: optional(Type.String()),
  guided_choice: optional(Type.Array(Type.String(), { minItems: 1 })),
  guided_grammar: optional(Type.String()),
  structured_outputs: optional(
    Type.Object({
      json: optional(schemaType),
      regex: optional(Type.String()),
      choice: optional(Type.Array(Type.String(), { minItems: 1 })),
      grammar: optional(Type.String()),
      json_object: optional(Type.Boolean()),
    }),
  ),
  response_format: optional(
    Type.Object(
      {
        type: Type.String(),
        schema: optional(schemaType),
        json_schema: optional(
          Type.Object({
            name: optional(Type.String()),
            schema: optional(schemaType),
            strict: optional(Type.Union([Type.Boolean(), Type.Null()])),
          }),
        ),
      },
      { description: "text, json_object, or json_schema with its schema." },
    ),
  ),
};

export interface ConstraintBody {
  readonly grammar?: string;
  readonly grammar_lazy?: boolean;
  readonly grammar_triggers?: readonly { type: number | string; value: string }[];
  readonly json_schema?: unknown;
  readonly guided_json?: unknown;
  readonly guided_regex?: string;
  readonly guided_choice?: readonly string[];
  readonly guided_grammar?: string;
  readonly structured_outputs?: Readonly<Record<string, unknown>>;
  readonly response_format?: {
    readonly type: string;
    readonly schema?: unknown;
    readonly json_schema?: { readonly schema?: unknown };
  };
}

/** Any JSON object: what json_object asks for. */
export const anyObject: Constraint = { kind: "json_schema", source: '{"type":"object"}' };

/** The one constraint of a request. Throws 400 when there are two, or one of an unknown kind. */
export function readConstraint(body: ConstraintBody): Constraint | undefined {
  const outputs = body.structured_outputs ?? {};
  const given: [string, Constraint | undefined][] = [
    ["grammar", lazily(body, text("gbnf", body.grammar))],
    ["guided_grammar", text("gbnf", body.guided_grammar)],
    ["structured_outputs.grammar", text("gbnf", outputs.grammar)],
    ["json_schema", schema(body.json_schema)],
    ["guided_json", schema(body.guided_json)],
    ["structured_outputs.json", schema(outputs.json)],
    ["structured_outputs.json_object", outputs.json_object ? anyObject : undefined],
    ["guided_regex", text("regex", body.guided_regex)],
    ["structured_outputs.regex", text("regex", outputs.regex)],
    ["guided_choice", choice(body.guided_choice)],
    ["structured_outputs.choice", choice(outputs.choice)],
    ["response_format", responseFormat(body.response_format)],
  ];
  const constraints = given.filter(([, constraint]) => constraint !== undefined);
  const [first, second] = constraints;
  if (first && second) {
    throw badField(second[0], `Give one of '${first[0]}' and '${second[0]}', not both.`);
  }
  if (!first?.[1]) return undefined;
  return checked(first[0], first[1]);
}

/** Throws 400 with the request's own field for a grammar that cannot be read or is too costly. */
function checked(param: string, constraint: Constraint): Constraint {
  try {
    checkConstraint(constraint);
    return constraint;
  } catch (error) {
    if (!(error instanceof WrinkleFreeError) || error.code !== "bad_request") throw error;
    throw badField(param, sentences(error.message, error.hint));
  }
}

function text(kind: "gbnf" | "regex", source: unknown): Constraint | undefined {
  return typeof source === "string" && source !== "" ? { kind, source } : undefined;
}

/** llama.cpp's lazy grammars: from the first trigger word on. */
function lazily(body: ConstraintBody, constraint: Constraint | undefined): Constraint | undefined {
  if (!body.grammar_lazy || constraint === undefined) return constraint;
  const triggers = (body.grammar_triggers ?? []).map(({ type, value }, i) => {
    if ((type === 1 || type === "word") && value !== "") return value;
    const param = `grammar_triggers[${i}].type`;
    throw badField(param, `Field '${param}' must be 1 (a word): patterns are not supported.`);
  });
  if (triggers.length > 0) return { ...constraint, lazy: { triggers } };
  throw badField("grammar_triggers", "A lazy grammar needs 'grammar_triggers'.");
}

function schema(value: unknown): Constraint | undefined {
  return value === undefined ? undefined : { kind: "json_schema", source: JSON.stringify(value) };
}

function choice(value: unknown): Constraint | undefined {
  return value === undefined ? undefined : { kind: "choice", source: JSON.stringify(value) };
}

function responseFormat(format: ConstraintBody["response_format"]): Constraint | undefined {
  switch (format?.type) {
    case undefined:
    case "text":
      return undefined;
    case "json_object":
      return schema(format.schema) ?? anyObject;
    case "json_schema": {
      const wanted = format.json_schema?.schema ?? format.schema;
      if (wanted !== undefined) return schema(wanted);
      const param = "response_format.json_schema.schema";
      throw badField(param, `Field '${param}' is required: a JSON schema.`);
    }
    default:
      throw badField(
        "response_format.type",
        `Field 'response_format.type' must be one of text, json_object, json_schema, not ${JSON.stringify(format?.type)}.`,
      );
  }
}
