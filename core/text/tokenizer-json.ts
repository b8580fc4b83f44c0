// Checks the parts of a tokenizer.json that others rely on: nobody checked the file before.
import { WrinkleFreeError } from "../errors.ts";

type Json = Readonly<Record<string, unknown>>;

/** More tokens, and higher ids, are refused. */
const mostTokens = 2 ** 21;

export function damaged(what: string, cause?: unknown): WrinkleFreeError {
  return new WrinkleFreeError("bad_file", `tokenizer.json: ${what}`, {
    field: what.split(" ")[0],
    hint: "The file is damaged: download it again.",
    cause,
  });
}

export function record(value: unknown, what: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw new WrinkleFreeError("bad_file", `${what} is not an object`);
}

/** Throws `bad_file` naming the field unless texts are texts and ids are ids. */
export function checkTokenizerJson(json: Json, model: Json): void {
  const isId = (id: unknown): boolean => Number.isInteger(id) && inVocabulary(id as number);
  const { vocab } = model;
  if (typeof vocab !== "object" || vocab === null) throw damaged("model.vocab is missing");
  if (Array.isArray(vocab)) {
    if (vocab.length > mostTokens) throw damaged(`model.vocab has more than ${mostTokens} tokens`);
    const odd = vocab.findIndex(
      (entry) => typeof entry?.[0] !== "string" || typeof entry?.[1] !== "number",
    );
    if (odd >= 0) throw damaged(`model.vocab entry ${odd} is no text with its score`);
    // A text may hold anything: without a token for the unknown it could not be told in ids.
    const unknown = model.unk_id;
    if (!isId(unknown) || (unknown as number) >= vocab.length) {
      throw damaged("model.unk_id is no token");
    }
  } else {
    const odd = Object.entries(vocab).find(([, id]) => !isId(id));
    if (odd) throw damaged(`model.vocab gives token ${JSON.stringify(odd[0])} no proper id`);
  }
  const added = json.added_tokens ?? [];
  if (!Array.isArray(added)) throw damaged("added_tokens is no list");
  const odd = added.findIndex((token) => typeof token?.content !== "string" || !isId(token.id));
  if (odd >= 0) throw damaged(`added_tokens entry ${odd} has no proper id and content`);
}

function inVocabulary(id: number): boolean {
  return id >= 0 && id < mostTokens;
}

/** What `run` returns; what the library throws for a damaged file is an error of that file. */
export function reading<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    if (cause instanceof WrinkleFreeError) throw cause;
    throw damaged(`it cannot be read: ${cause instanceof Error ? cause.message : cause}`, cause);
  }
}
