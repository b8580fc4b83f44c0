// Finds added tokens ("<|eot_id|>" and the like) in text, before the tokenizer's own model sees it.

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** A control token: hidden by decode, and text only where special tokens are not parsed. */
  readonly special: boolean;
  /** Swallow white space on the left or right. */
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  /** Match only where no letter, digit or underscore touches it. */
  readonly singleWord?: boolean;
}

interface Node {
  readonly next: Map<number, Node>;
  token: AddedToken | undefined;
}

/** Stretches of plain text and added tokens, in order. */
export type Section = { readonly text: string } | { readonly token: AddedToken };

/** A trie over UTF-16 units; matches are leftmost, then longest, as in Hugging Face's tokenizers. */
export class AddedTokens {
  readonly #root: Node = { next: new Map(), token: undefined };
  readonly size: number;

  constructor(tokens: Iterable<AddedToken>) {
    let size = 0;
    for (const token of tokens) {
      if (token.content.length === 0) continue;
      let node = this.#root;
      for (let i = 0; i < token.content.length; i++) {
        const unit = token.content.charCodeAt(i);
        let next = node.next.get(unit);
        if (next === undefined) {
          next = { next: new Map(), token: undefined };
          node.next.set(unit, next);
        }
        node = next;
      }
      node.token ??= token;
      size++;
    }
    this.size = size;
  }

  /** Splits `text`. With `special` false, control tokens are left as text. */
  split(text: string, special: boolean): Section[] {
    const sections: Section[] = [];
    let start = 0;
    for (let at = 0; this.size > 0 && at < text.length; ) {
      const token = this.#longest(text, at, special);
      if (token === undefined) {
        at++;
        continue;
      }
      const end = at + token.content.length;
      let before = text.slice(start, at);
      if (token.lstrip) before = before.trimEnd();
      if (before.length > 0) sections.push({ text: before });
      sections.push({ token });
      start = end;
      if (token.rstrip) while (start < text.length && /\s/.test(text[start]!)) start++;
      at = start;
    }
    if (start < text.length) sections.push({ text: start === 0 ? text : text.slice(start) });
    return sections;
  }

  #longest(text: string, at: number, special: boolean): AddedToken | undefined {
    let node: Node | undefined = this.#root.next.get(text.charCodeAt(at));
    let found: AddedToken | undefined;
    for (let i = at + 1; node !== undefined; i++) {
      const token = node.token;
      if (token !== undefined && (special || !token.special)) {
        if (!token.singleWord || standsAlone(text, at, i)) found = token;
      }
      node = i < text.length ? node.next.get(text.charCodeAt(i)) : undefined;
    }
    return found;
  }
}

function standsAlone(text: string, start: number, end: number): boolean {
  const word = /[\p{L}\p{N}_]/u;
  return !word.test(text[start - 1] ?? " ") && !word.test(text[end] ?? " ");
}
