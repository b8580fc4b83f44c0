// Prompt-lookup speculation: what followed the same n tokens earlier is proposed to follow them again.

/** Longest and shortest run of last tokens that is looked for earlier in the sequence. */
const longest = 4;
const shortest = 2;
/** Tokens back from the end that are searched: bounds the time of a proposal. */
const window = 2048;

/**
 * Proposes up to `most` tokens after `tokens` (Saxena, prompt lookup decoding, 2023): the
 * continuation of the latest earlier occurrence of the longest matching suffix. Empty if there is none.
 */
export function proposeByLookup(tokens: readonly number[], most: number): readonly number[] {
  const end = tokens.length;
  const start = Math.max(0, end - window);
  for (let size = longest; size >= shortest; size--) {
    if (end - size <= start) continue;
    for (let at = end - size - 1; at >= start; at--) {
      let same = 0;
      while (same < size && tokens[at + same] === tokens[end - size + same]) same++;
      if (same === size) return tokens.slice(at + size, Math.min(at + size + most, end));
    }
  }
  return [];
}
