// Alternatives of plain text as a tree of their common beginnings: thousands of them stay cheap to follow.

/** All texts that begin with the bytes on the way here. */
export interface TextTree {
  /** What all of them go on with. */
  readonly bytes: Uint8Array;
  /** Whether one of them ends after that. */
  readonly ends: boolean;
  /** The others, by their next byte. */
  readonly branches: readonly TextTree[];
}

/** The tree of at least one text; equal ones count once. */
export function textTree(texts: readonly string[]): TextTree {
  const sorted = texts.map((text) => Buffer.from(text)).sort(Buffer.compare);
  return subtree(sorted, 0, sorted.length, 0);
}

/** Of texts first..end-1 in their order, which agree in their first `from` bytes. */
function subtree(sorted: readonly Buffer[], first: number, end: number, from: number): TextTree {
  // What the first and the last have in common, all between them have.
  const [low, high] = [sorted[first]!, sorted[end - 1]!];
  let at = from;
  while (at < low.length && low[at] === high[at]) at++;
  const bytes = low.subarray(from, at);
  let next = first;
  while (next < end && sorted[next]!.length === at) next++;
  const branches: TextTree[] = [];
  for (let start = next; start < end; start = next) {
    const byte = sorted[start]![at];
    while (next < end && sorted[next]![at] === byte) next++;
    branches.push(subtree(sorted, start, next, at));
  }
  return { bytes, ends: low.length === at, branches };
}
