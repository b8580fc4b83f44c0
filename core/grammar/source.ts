// Reads a request's constraint, in whichever notation it comes, into a grammar.
import type { ConstraintSource } from "../engine/protocol.ts";
import { WrinkleFreeError } from "../errors.ts";
import { choice, type Grammar, text } from "./expression.ts";
import { parseGbnf } from "./gbnf.ts";
import { jsonSchemaGrammar } from "./json-schema.ts";
import { regexGrammar } from "./regex.ts";
import { toolCallGrammar } from "./tool-calls.ts";

/** Longer sources are refused. */
const longest = 1024 * 1024;

/** Throws `bad_request` saying what is wrong, and where. */
export function parseSource({ kind, source }: ConstraintSource): Grammar {
  if (source.length > longest) {
    fail(kind, `it has ${source.length} characters; at most ${longest} are read`);
  }
  switch (kind) {
    case "gbnf":
      return parseGbnf(source);
    case "json_schema":
      return jsonSchemaGrammar(parseJson(kind, source));
    case "regex":
      return regexGrammar(source);
    case "tool_calls":
      return toolCallGrammar(parseJson(kind, source));
    case "choice":
      return choiceGrammar(parseJson(kind, source));
    default:
      return fail("grammar", `there is no kind "${kind}"`);
  }
}

function choiceGrammar(choices: unknown): Grammar {
  const valid = Array.isArray(choices) && choices.length > 0;
  if (!valid || !choices.every((c): c is string => typeof c === "string" && c !== "")) {
    return fail("choice", "it is not a list of texts");
  }
  return { rules: new Map([["root", choice(...choices.map(text))]]), root: "root" };
}

function parseJson(kind: string, source: string): unknown {
  try {
    return JSON.parse(source);
  } catch (cause) {
    return fail(kind, `it is no JSON: ${cause instanceof Error ? cause.message : cause}`);
  }
}

function fail(field: string, what: string): never {
  throw new WrinkleFreeError("bad_request", `${field}: ${what}`, { field });
}
