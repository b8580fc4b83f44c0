// Names a tokenizer.json's pre-tokenizer as GGUF does (tokenizer.ggml.pre), so that llama.cpp agrees.

type Json = Readonly<Record<string, unknown>>;

interface Step {
  readonly type: string;
  readonly regex?: string;
  readonly useRegex?: boolean;
  readonly individual?: boolean;
}

/** GGUF's name, or undefined where no known family cuts words this way. */
export function preTokenizerName(tokenizer: Json): string | undefined {
  const steps = flatten(tokenizer.pre_tokenizer as Json | null);
  const patterns = steps.filter((step) => step.type === "Split").map((step) => step.regex ?? "");
  const byteLevel = steps.find((step) => step.type === "ByteLevel");
  const digits = steps.find((step) => step.type === "Digits");
  const pattern = patterns[0] ?? "";
  if (patterns.length === 1 && !digits) {
    if (pattern.includes("[\\p{L}\\p{M}]+")) return "qwen35";
    if (pattern.includes("\\p{N}{1,3}") && pattern.includes("\\p{L}+")) return "llama-bpe";
    if (pattern.includes("|\\p{N}|") && pattern.includes("?\\p{L}+")) return "qwen2";
  }
  if (steps.some((step) => step.type === "Punctuation") && pattern === "[0-9][0-9][0-9]")
    return "falcon";
  if (pattern === "\\p{N}{1,3}" && byteLevel && byteLevel.useRegex !== false) return "minicpm5";
  if (patterns.length > 0 || !byteLevel) return undefined;
  if (digits?.individual && byteLevel.useRegex !== false) return "smollm";
  return steps.length === 1 && byteLevel.useRegex !== false ? "gpt-2" : undefined;
}

function flatten(part: Json | null | undefined): Step[] {
  if (!part) return [];
  if (Array.isArray(part.pretokenizers)) return (part.pretokenizers as Json[]).flatMap(flatten);
  const pattern = part.pattern as Json | undefined;
  return [
    {
      type: String(part.type),
      regex: (pattern?.Regex ?? pattern?.String) as string | undefined,
      useRegex: part.use_regex as boolean | undefined,
      individual: part.individual_digits as boolean | undefined,
    },
  ];
}
