// The grammar of calls of functions: `{"name": one of them, "arguments": what its schema allows}`.
import { WrinkleFreeError } from "../errors.ts";
import { choice, type Expression, type Grammar, repeat, sequence, text } from "./expression.ts";
import { jsonSchemaExpression } from "./json-schema.ts";
import { jsonRules, space } from "./json-text.ts";

/** The source of a constraint of kind "tool_calls", as JSON. */
export interface ToolCallSource {
  /** Texts around each call; may be empty. */
  readonly open: string;
  readonly close: string;
  /** The arguments' key. */
  readonly key: string;
  /** Whether several calls may follow each other. */
  readonly parallel: boolean;
  readonly functions: readonly {
    readonly name: string;
    /** JSON Schema of the arguments; left out: an empty object. */
    readonly parameters?: unknown;
    /** Refuse a schema that is not supported; else its arguments are any object. */
    readonly strict: boolean;
  }[];
}

/** Throws `bad_request` naming the function whose schema is wrong. */
export function toolCallGrammar(source: unknown): Grammar {
  const { open, close, key, parallel, functions } = source as ToolCallSource;
  if (!Array.isArray(functions) || functions.length === 0) {
    throw new WrinkleFreeError("bad_request", "tools: no function to call", { field: "tools" });
  }
  const rules = new Map<string, Expression>(jsonRules);
  const calls = functions.map(({ name, parameters, strict }, index) =>
    sequence(
      text(`"name": ${JSON.stringify(name)}, ${JSON.stringify(key)}: `),
      argumentsOf(parameters, strict, rules, `tools[${index}].function.parameters`),
    ),
  );
  const call = sequence(
    ...(open === "" ? [] : [text(open), space]),
    text("{"),
    choice(...calls),
    text("}"),
    ...(close === "" ? [] : [space, text(close)]),
  );
  rules.set("call", call);
  const one: Expression = { kind: "rule", name: "call" };
  rules.set("root", parallel ? sequence(one, repeat(sequence(space, one))) : one);
  return { rules, root: "root" };
}

function argumentsOf(
  parameters: unknown,
  strict: boolean,
  rules: Map<string, Expression>,
  path: string,
): Expression {
  const none = { type: "object", additionalProperties: false };
  const schema = parameters ?? none;
  const isObject = typeof schema === "object" && !("anyOf" in schema || "$ref" in schema);
  try {
    // A function's arguments are an object, whether its schema says so or not.
    return jsonSchemaExpression(isObject ? { type: "object", ...schema } : schema, rules, path);
  } catch (error) {
    const expected = error instanceof WrinkleFreeError && error.code === "bad_request";
    if (strict || !expected) throw error;
    return { kind: "rule", name: " object" };
  }
}
