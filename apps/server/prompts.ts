// The forms a prompt may have: text, token ids, a mix of both, and lists of those.
import { Type } from "@sinclair/typebox";
import type { EncodeOptions, Tokenizer } from "../../core/index.ts";
import { badField, contextExceeded } from "./errors.ts";
import type { ServedModel } from "./model.ts";

/** Any of the forms; `readPrompts` checks the rest. */
export const promptSchema = Type.Union(
  [
    Type.String(),
    Type.Array(Type.Any()),
    Type.Object({ prompt_string: Type.String() }),
    Type.Object({ content: Type.Array(Type.Object({ type: Type.String(), text: Type.String() })) }),
  ],
  {
    description: "Text, token ids, a list mixing both, or a list of such prompts.",
    expected: "text, token ids, or a list of these",
  },
);

/** Prompts that one request may hold. */
export const maxPrompts = 256;

/** Milliseconds of tokenizing after which others' requests have their turn. */
const turnMs = 20;

/** The token ids of every prompt in `value`, and whether it was a list of prompts. */
export async function readPrompts(
  model: ServedModel,
  value: unknown,
  options: { param?: string; addSpecial?: boolean; limit?: number } = {},
): Promise<{ prompts: number[][]; list: boolean }> {
  const { param = "prompt", addSpecial = true, limit = maxPrompts } = options;
  if (isList(value)) {
    if (value.length === 0) throw badField(param, `Field '${param}' is an empty list.`);
    if (value.length > limit) {
      const message = `Field '${param}' has ${value.length} prompts; the limit is ${limit}.`;
      throw badField(param, message);
    }
    const prompts: number[][] = [];
    let turn = performance.now();
    for (const [i, item] of value.entries()) {
      prompts.push(onePrompt(model, item, `${param}[${i}]`, addSpecial));
      if (performance.now() - turn < turnMs) continue;
      await Bun.sleep(0);
      turn = performance.now();
    }
    return { prompts, list: true };
  }
  return { prompts: [onePrompt(model, value, param, addSpecial)], list: false };
}

/** A list of prompts is one that holds no token ids itself. */
function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && !value.some((item) => typeof item === "number");
}

function onePrompt(
  model: ServedModel,
  value: unknown,
  param: string,
  addSpecial: boolean,
): number[] {
  const ids = readTokens(model, value, param, { addSpecial });
  if (ids.length === 0) throw badField(param, `Field '${param}' is an empty prompt.`);
  return ids;
}

/** Ids of one text, list of ids, or mix of both; may be none. Throws 400 naming the field. */
export function readTokens(
  model: ServedModel,
  value: unknown,
  param: string,
  { addSpecial = false, parseSpecial = true }: EncodeOptions,
): number[] {
  const { tokenizer } = model;
  const text = textOf(value, param) ?? value;
  if (typeof text === "string") {
    checkLength(model, text, param);
    return tokenizer.encode(text, { addSpecial, parseSpecial });
  }
  if (!Array.isArray(value)) {
    throw badField(param, `Field '${param}' must be text, token ids, or a list of these.`);
  }
  return value.flatMap((part: unknown, i) => {
    if (typeof part !== "string") return checkToken(tokenizer, part, `${param}[${i}]`);
    checkLength(model, part, param);
    return tokenizer.encode(part, { addSpecial: addSpecial && i === 0, parseSpecial });
  });
}

/** The text of llama.cpp's objects: `prompt_string`, or `content` in parts. */
function textOf(value: unknown, param: string): unknown {
  const { prompt_string, content } = Object(value) as Record<string, unknown>;
  if (!Array.isArray(content)) return prompt_string;
  const parts = content.map((part: unknown, i) => {
    const { type, text } = Object(part) as Record<string, unknown>;
    if (type === "text" && typeof text === "string") return text;
    throw badField(`${param}.content[${i}]`, "Only parts of type 'text' are read here.");
  });
  return parts.join("");
}

/** A token id of the vocabulary. Throws 400 naming the field. */
export function checkToken(tokenizer: Tokenizer, value: unknown, param: string): number {
  const size = tokenizer.vocabularySize;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < size)
    return value;
  throw badField(param, `Field '${param}' must be a token id from 0 to ${size - 1}.`);
}

/** Ids of a rendered conversation: its template writes BOS itself, or the tokenizer asks for it. */
export function encodeRendered(model: ServedModel, text: string): number[] {
  checkLength(model, text, "messages");
  const { tokenizer } = model;
  const ids = tokenizer.encode(text, { addSpecial: false, parseSpecial: true });
  const { bos } = tokenizer;
  if (tokenizer.addBos && bos !== undefined && ids[0] !== bos) ids.unshift(bos);
  return ids;
}

/** More characters than any tokenizer's longest token (128 spaces in Llama 3's). */
const mostCharacters = 256;

/** Refuses text that cannot fit before it is tokenized: that could take seconds. */
function checkLength({ client }: ServedModel, text: string, param: string): void {
  const { contextLength } = client.info;
  if (text.length <= contextLength * mostCharacters) return;
  const least = Math.ceil(text.length / mostCharacters);
  throw contextExceeded(param, least, contextLength, { count: `at least ${least}` });
}
