// Control tokens that end a turn or a text, known by the names that model families give them.
import type { AddedToken } from "./added-tokens.ts";

const names: ReadonlySet<string> = new Set([
  "<|eot_id|>",
  "<|eom_id|>",
  "<|end_of_text|>",
  "<|endoftext|>",
  "<|im_end|>",
  "<|end|>",
  "<|return|>",
  "<|call|>",
  "<end_of_turn>",
  "<end_of_utterance>",
  "<eos>",
  "</s>",
  "[EOS]",
  "[EOT]",
  "<EOT>",
  "<\uff5cend\u2581of\u2581sentence\uff5c>",
]);

/**
 * Ids of the control tokens among `tokens` that end generation. Files often name only one of them
 * as eos, although the model ends its turns with another.
 */
export function endTokensByName(tokens: Iterable<AddedToken>): Set<number> {
  const ids = new Set<number>();
  for (const token of tokens) if (token.special && names.has(token.content)) ids.add(token.id);
  return ids;
}
