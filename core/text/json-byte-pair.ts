// Byte-level BPE from a tokenizer.json whose parts are all ones that our own model keeps to.
import { BytePairModel } from "./byte-pair.ts";
import { readMerges, readTokens } from "./byte-pair-build.ts";
import { pack } from "./packed-strings.ts";
import { preTokenizerOf } from "./pre-tokenizers.ts";

type Json = Readonly<Record<string, unknown>>;

/** Undefined where the library's model is needed. Throws `bad_file` for merges that do not fit. */
export function jsonBytePair(json: Json, model: Json): BytePairModel | undefined {
  const plain =
    model.type === "BPE" &&
    !model.dropout &&
    !model.continuing_subword_prefix &&
    !model.end_of_word_suffix &&
    !model.byte_fallback;
  const decoder = json.decoder as Json | null | undefined;
  if (!plain || decoder?.type !== "ByteLevel") return undefined;
  const pre = preTokenizerOf({ ...json, ignoreMerges: model.ignore_merges === true });
  const tokens = tokenList(model.vocab, json.added_tokens);
  const merges = mergeList(model.merges);
  if (pre === undefined || tokens === undefined || merges === undefined) return undefined;
  const table = readTokens(pack(tokens.texts), "tokenizer.json: vocab", tokens.findable);
  return new BytePairModel(table, readMerges(pack(merges), "tokenizer.json: merges", table), pre);
}

/** Tokens by id; undefined unless ids are whole numbers without large gaps. */
function tokenList(
  vocab: unknown,
  added: unknown,
): { texts: string[]; findable: (token: number) => boolean } | undefined {
  if (typeof vocab !== "object" || vocab === null) return undefined;
  const entries = Object.entries(vocab);
  const limit = entries.length * 2 + 65536;
  const texts: string[] = [];
  for (const [text, id] of entries) {
    if (!(Number.isInteger(id) && id >= 0 && id < limit)) return undefined;
    texts[id] = text;
  }
  const control = new Set<number>();
  for (const token of Array.isArray(added) ? added : []) {
    const { id, special } = token as { id: number; special?: boolean };
    if (special) control.add(id);
  }
  return {
    texts: Array.from(texts, (text) => text ?? ""),
    findable: (token) => !control.has(token),
  };
}

/** Merges as "left right", from either of the two forms that files have. */
function mergeList(merges: unknown): string[] | undefined {
  if (!Array.isArray(merges)) return undefined;
  const list = merges.map((m) => (Array.isArray(m) ? m.join(" ") : m));
  return list.every((merge) => typeof merge === "string") ? list : undefined;
}
