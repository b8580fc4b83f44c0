// How each family of byte-level BPE vocabularies cuts text into words, by its name in GGUF files.

/** Rules of one family (`tokenizer.ggml.pre`). */
export interface PreTokenizer {
  /** Applied in turn: each cuts the words of the one before into matches and what lies between. */
  readonly patterns: readonly string[];
  /** A word that is a token as a whole is not taken apart by merges. */
  readonly ignoreMerges?: boolean;
  /** Whether BOS is added where the file does not say. */
  readonly addBos?: boolean;
  /** Text is brought to Unicode normal form C first. */
  readonly nfc?: boolean;
}

const contractions = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const rest = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const words = (digits: string, letters = "\\p{L}+") =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?${letters}|\\p{N}${digits}|${rest}`;

const llama3: PreTokenizer = { patterns: [words("{1,3}")], ignoreMerges: true, addBos: true };
const qwen2: PreTokenizer = { patterns: [words("")], nfc: true };
const digitsApart: PreTokenizer = { patterns: ["\\p{N}", gpt2] };
const falcon: PreTokenizer = { patterns: ["[\\p{P}\\$\\+<=>\\^~\\|`]+", gpt2, "[0-9][0-9][0-9]"] };

/** Families by name. `default` serves files that name none. */
export const preTokenizers: Readonly<Record<string, PreTokenizer>> = {
  default: { patterns: ["[\\p{P}\\$\\+<=>\\^~\\|]+", gpt2, "\\p{N}+", "[0-9][0-9][0-9]"] },
  "llama-bpe": llama3,
  "llama-v3": llama3,
  llama3,
  falcon3: llama3,
  falcon_e: llama3,
  "falcon-h1": llama3,
  lfm2: llama3,
  qwen2,
  "deepseek-r1-qwen": qwen2,
  qwen35: {
    patterns: [
      `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}|` +
        " ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ],
    nfc: true,
  },
  "gpt-2": { patterns: [gpt2] },
  phi: { patterns: [gpt2] },
  olmo: { patterns: [gpt2] },
  mpt: { patterns: [gpt2] },
  smollm: digitsApart,
  starcoder: digitsApart,
  refact: digitsApart,
  exaone: digitsApart,
  falcon,
  minicpm5: { patterns: ["\\p{N}{1,3}", gpt2], ignoreMerges: true },
};

/**
 * The cutting rules of a tokenizer.json, if they are ones that our own model keeps to: byte-level
 * with known patterns, and no normalizer or NFC.
 */
export function preTokenizerOf(json: {
  readonly normalizer?: unknown;
  readonly pre_tokenizer?: unknown;
  readonly ignoreMerges: boolean;
}): PreTokenizer | undefined {
  const nfc = isType(json.normalizer, "NFC");
  if (!nfc && json.normalizer !== null && json.normalizer !== undefined) return undefined;
  const steps = isType(json.pre_tokenizer, "Sequence")
    ? (json.pre_tokenizer as { pretokenizers?: unknown }).pretokenizers
    : [json.pre_tokenizer];
  if (!Array.isArray(steps) || steps.length === 0) return undefined;
  const patterns: string[] = [];
  for (const [index, step] of steps.entries()) {
    const isLast = index === steps.length - 1;
    const found = isType(step, "ByteLevel") && isLast ? byteLevel(step) : splitPattern(step);
    if (found === undefined) return undefined;
    patterns.push(...found);
  }
  if (!isType(steps.at(-1), "ByteLevel")) return undefined;
  return { patterns, ignoreMerges: json.ignoreMerges, nfc };
}

function isType(value: unknown, type: string): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && (value as { type?: unknown }).type === type;
}

function byteLevel(step: Readonly<Record<string, unknown>>): string[] | undefined {
  if (step.add_prefix_space === true) return undefined;
  return step.use_regex === false ? [] : [gpt2];
}

/** Patterns that are known to mean the same in JavaScript. */
function splitPattern(step: unknown): string[] | undefined {
  if (isType(step, "Digits")) return step.individual_digits === true ? ["\\p{N}"] : undefined;
  if (!isType(step, "Split") || step.behavior !== "Isolated" || step.invert === true) {
    return undefined;
  }
  const source = (step.pattern as { Regex?: unknown } | undefined)?.Regex;
  if (typeof source !== "string") return undefined;
  const plain = source.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", contractions);
  const known = Object.values(preTokenizers).some(({ patterns }) => patterns.includes(plain));
  return known ? [plain] : undefined;
}
