// The forms a prompt may have: text, token ids, a mix of both, and lists of those.
import { Type } from "@sinclair/typebox";
import type { Tokenizer } from "../../core/index.ts";
import { badField } from "./errors.ts";

/** Any of the forms; `readPrompts` checks the rest. */
export const promptSchema = Type.Union(
  [Type.String(), Type.Array(Type.Any()), Type.Object({ prompt_string: Type.String() })],
  {
    description: "Text, token ids, a list mixing both, or a list of such prompts.",
    expected: "text, token ids, or a list of these",
  },
);

/** Prompts that one request may hold. */
export const maxPrompts = 256;

/** The token ids of every prompt in `value`, and whether it was a list of prompts. */
export function readPrompts(
  tokenizer: Tokenizer,
  value: unknown,
  options: { param?: string; addSpecial?: boolean } = {},
): { prompts: number[][]; list: boolean } {
  const { param = "prompt", addSpecial = true } = options;
  if (isList(value)) {
    if (value.length === 0) throw badField(param, `Field '${param}' is an empty list.`);
    if (value.length > maxPrompts) {
      throw badField(
        param,
        `Field '${param}' has ${value.length} prompts; the limit is ${maxPrompts}.`,
      );
    }
    const prompts = value.map((item, i) =>
      onePrompt(tokenizer, item, `${param}[${i}]`, addSpecial),
    );
    return { prompts, list: true };
  }
  return { prompts: [onePrompt(tokenizer, value, param, addSpecial)], list: false };
}

/** A list of prompts is one that holds no token ids itself. */
function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && !value.some((item) => typeof item === "number");
}

function onePrompt(
  tokenizer: Tokenizer,
  value: unknown,
  param: string,
  addSpecial: boolean,
): number[] {
  const ids = promptIds(tokenizer, value, param, addSpecial);
  if (ids.length === 0) throw badField(param, `Field '${param}' is an empty prompt.`);
  return ids;
}

function promptIds(
  tokenizer: Tokenizer,
  value: unknown,
  param: string,
  addSpecial: boolean,
): number[] {
  if (typeof value === "string") return tokenizer.encode(value, { addSpecial, parseSpecial: true });
  if (Array.isArray(value)) {
    return value.flatMap((part: unknown, i) => {
      if (typeof part === "string") {
        return tokenizer.encode(part, { addSpecial: addSpecial && i === 0, parseSpecial: true });
      }
      return checkToken(tokenizer, part, `${param}[${i}]`);
    });
  }
  const text = (value as { prompt_string?: unknown } | null)?.prompt_string;
  if (typeof text === "string") return tokenizer.encode(text, { addSpecial, parseSpecial: true });
  throw badField(param, `Field '${param}' must be text, token ids, or a list of these.`);
}

/** A token id of the vocabulary. Throws 400 naming the field. */
export function checkToken(tokenizer: Tokenizer, value: unknown, param: string): number {
  const size = tokenizer.vocabularySize;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < size)
    return value;
  throw badField(param, `Field '${param}' must be a token id from 0 to ${size - 1}.`);
}

/** Ids of a rendered conversation: its template writes BOS itself, or the tokenizer asks for it. */
export function encodeRendered(tokenizer: Tokenizer, text: string): number[] {
  const ids = tokenizer.encode(text, { addSpecial: false, parseSpecial: true });
  const { bos } = tokenizer;
  if (tokenizer.addBos && bos !== undefined && ids[0] !== bos) ids.unshift(bos);
  return ids;
}
