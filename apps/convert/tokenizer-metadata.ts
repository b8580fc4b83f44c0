// GGUF tokenizer keys from a checkpoint's tokenizer.json and tokenizer_config.json.
import { type MetadataValue, type ModelFile, WrinkleFreeError } from "../../core/index.ts";
import { preTokenizerName } from "./pre-tokenizer.ts";

type Json = Readonly<Record<string, unknown>>;

/** GGUF's token types. */
const tokenType = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

interface Vocabulary {
  readonly tokens: string[];
  readonly types: Int32Array;
}

/** Keys `tokenizer.*` for a vocabulary of `size` rows of the embedding. */
export function tokenizerMetadata(file: ModelFile, size: number): Record<string, MetadataValue> {
  const source = file.tokenizer;
  if (source?.kind !== "hf") return {};
  const tokenizer = source.tokenizer as Json;
  const model = (tokenizer.model ?? {}) as Json;
  const added = (tokenizer.added_tokens ?? []) as readonly AddedToken[];
  const metadata: Record<string, MetadataValue> = {};
  const vocabulary = collect(model, added, size);
  Object.assign(metadata, modelKeys(tokenizer, model, vocabulary));
  metadata["tokenizer.ggml.tokens"] = vocabulary.tokens;
  metadata["tokenizer.ggml.token_type"] = vocabulary.types;
  Object.assign(metadata, specialIds(file, source.config, added));
  metadata["tokenizer.ggml.add_bos_token"] = addsToken(tokenizer, source.config, "bos");
  if (addsToken(tokenizer, source.config, "eos")) metadata["tokenizer.ggml.add_eos_token"] = true;
  if (file.chatTemplate) metadata["tokenizer.chat_template"] = file.chatTemplate;
  return metadata;
}

function collect(model: Json, added: readonly AddedToken[], size: number): Vocabulary {
  const tokens = new Array<string | undefined>(size).fill(undefined);
  const types = new Int32Array(size).fill(tokenType.normal);
  const put = (token: string, id: number, type: number): void => {
    if (!Number.isInteger(id) || id < 0 || id >= size) {
      throw new WrinkleFreeError(
        "bad_file",
        `tokenizer.json: token ${JSON.stringify(token)} has id ${id}, the embedding has ${size} rows`,
        { file: "tokenizer.json", hint: "Use the tokenizer that belongs to the checkpoint." },
      );
    }
    tokens[id] = token;
    types[id] = type;
  };
  const entries: Iterable<[string, number]> = Array.isArray(model.vocab)
    ? (model.vocab as [string, number][]).map(([token], id) => [token, id])
    : Object.entries((model.vocab ?? {}) as Record<string, number>);
  for (const [token, id] of entries) {
    put(token, id, /^<0x[0-9A-F]{2}>$/.test(token) ? tokenType.byte : tokenType.normal);
  }
  for (const { id, content, special } of added) {
    put(content, id, special ? tokenType.control : tokenType.userDefined);
  }
  const unknown = typeof model.unk_token === "string" ? tokens.indexOf(model.unk_token) : -1;
  if (unknown >= 0) types[unknown] = tokenType.unknown;
  for (let id = 0; id < size; id++) {
    if (tokens[id] !== undefined) continue;
    tokens[id] = `[PAD${id}]`;
    types[id] = tokenType.unused;
  }
  return { tokens: tokens as string[], types };
}

/** tokenizer.ggml.model with what that kind needs: merges and pre-tokenizer, or scores. */
function modelKeys(
  tokenizer: Json,
  model: Json,
  vocabulary: Vocabulary,
): Record<string, MetadataValue> {
  const keys: Record<string, MetadataValue> = {};
  if (model.type === "Unigram") {
    const scores = new Float32Array(vocabulary.tokens.length);
    (model.vocab as [string, number][]).forEach(([, score], id) => {
      scores[id] = score;
    });
    return {
      "tokenizer.ggml.model": "t5",
      "tokenizer.ggml.scores": scores,
      ...original(tokenizer),
    };
  }
  if (model.type !== "BPE") {
    throw new WrinkleFreeError("unsupported", `tokenizer.json: model type ${model.type}`, {
      file: "tokenizer.json",
      hint: "BPE and Unigram vocabularies can be written to GGUF.",
    });
  }
  const merges = ((model.merges ?? []) as (string | [string, string])[]).map((merge) =>
    typeof merge === "string" ? merge : merge.join(" "),
  );
  if (model.byte_fallback === true) {
    keys["tokenizer.ggml.model"] = "llama";
    keys["tokenizer.ggml.scores"] = mergeScores(merges, vocabulary.tokens);
    keys["tokenizer.ggml.merges"] = merges;
    return keys;
  }
  const pre = preTokenizerName(tokenizer);
  keys["tokenizer.ggml.model"] = "gpt2";
  keys["tokenizer.ggml.pre"] = pre ?? "default";
  keys["tokenizer.ggml.merges"] = merges;
  return pre === undefined ? { ...keys, ...original(tokenizer) } : keys;
}

/** The whole tokenizer.json, for what GGUF's own keys cannot say exactly. */
function original(tokenizer: Json): Record<string, MetadataValue> {
  return { "tokenizer.huggingface.json": JSON.stringify(tokenizer) };
}

/** SentencePiece BPE merges the pair of highest score: minus the rank of the merge that makes a token. */
function mergeScores(merges: readonly string[], tokens: readonly string[]): Float32Array {
  const rank = new Map<string, number>();
  merges.forEach((merge, index) => {
    const token = merge.replace(" ", "");
    if (!rank.has(token)) rank.set(token, index);
  });
  return Float32Array.from(tokens, (token) => -(rank.get(token) ?? merges.length));
}

function specialIds(
  file: ModelFile,
  config: Json,
  added: readonly AddedToken[],
): Record<string, MetadataValue> {
  const keys: Record<string, MetadataValue> = {};
  const named = (name: string): number | undefined => {
    const value = config[name];
    const text = typeof value === "string" ? value : (value as Json | null | undefined)?.content;
    return added.find((token) => token.content === text)?.id;
  };
  const numbers = (value: unknown): number[] =>
    (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isInteger(id));
  const bos = numbers(file.config?.bos_token_id)[0] ?? named("bos_token");
  const pad = numbers(file.config?.pad_token_id)[0] ?? named("pad_token");
  const unk = named("unk_token");
  const ends = new Set([
    ...numbers(file.config?.eos_token_id),
    ...numbers(named("eos_token")),
    ...numbers(file.generationConfig?.eos_token_id),
  ]);
  const eos = [...ends][0];
  const eot = added.find(({ content }) => content === "<|eot_id|>" || content === "<|im_end|>")?.id;
  if (bos !== undefined) keys["tokenizer.ggml.bos_token_id"] = bos;
  if (eos !== undefined) keys["tokenizer.ggml.eos_token_id"] = eos;
  if (eot !== undefined) keys["tokenizer.ggml.eot_token_id"] = eot;
  if (pad !== undefined) keys["tokenizer.ggml.padding_token_id"] = pad;
  if (unk !== undefined) keys["tokenizer.ggml.unknown_token_id"] = unk;
  // Every id that ends generation; GGUF's own key has room for one.
  if (ends.size > 0) keys["tokenizer.ggml.eos_token_ids"] = Int32Array.from(ends);
  return keys;
}

/** Whether encoding puts BOS first (or EOS last): tokenizer_config's word, else the post-processor's. */
function addsToken(tokenizer: Json, config: Json, which: "bos" | "eos"): boolean {
  const stated = config[`add_${which}_token`];
  if (typeof stated === "boolean") return stated;
  const processor = tokenizer.post_processor as Json | null;
  const all = (processor?.processors as Json[] | undefined) ?? (processor ? [processor] : []);
  const template = all.find((part) => part.type === "TemplateProcessing")?.single;
  if (!Array.isArray(template)) return false;
  const place = which === "bos" ? template[0] : template[template.length - 1];
  return template.length > 1 && place?.SpecialToken !== undefined;
}
