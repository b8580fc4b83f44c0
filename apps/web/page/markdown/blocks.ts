// Splits growing Markdown into blocks, so that only the end of an answer is parsed and drawn again.
import { Lexer, type MarkedToken } from "marked";

/** One top-level block. It keeps its identity for as long as it stays the same. */
export interface Block {
  readonly key: number;
  readonly token: MarkedToken;
}

/**
 * Blocks before the last two never change when text is added at the end (the one before the last may:
 * "1" after a list becomes its next item), so they are kept and only the rest is parsed again.
 */
const open = 2;

/** Parses a text that grows at its end. */
export class GrowingMarkdown {
  #text = "";
  /** Blocks that stay, and the length of the text that they took. */
  #kept: Block[] = [];
  #length = 0;

  /** The blocks of `text`. Text that is no longer version of the last one starts anew. */
  blocks(text: string): readonly Block[] {
    if (!text.startsWith(this.#text)) this.#reset();
    this.#text = text;
    const tokens = parse(text.slice(this.#length));
    const solid = tokens.filter(({ type }) => type !== "space");
    const keep = solid[solid.length - open - 1];
    if (keep) this.#keep(tokens.splice(0, tokens.indexOf(keep) + 1));
    const key = this.#kept.length;
    const rest = tokens.filter(({ type }) => type !== "space");
    return [...this.#kept, ...rest.map((token, i) => ({ key: key + i, token }))];
  }

  #keep(tokens: readonly MarkedToken[]): void {
    for (const token of tokens) {
      this.#length += token.raw.length;
      if (token.type !== "space") this.#kept.push({ key: this.#kept.length, token });
    }
  }

  #reset(): void {
    this.#text = "";
    this.#kept = [];
    this.#length = 0;
  }
}

/** The blocks of a finished text, parsed as a whole. */
export function markdownBlocks(text: string): readonly Block[] {
  const solid = parse(text).filter(({ type }) => type !== "space");
  return solid.map((token, key) => ({ key, token }));
}

/** Markers that open one block in another, more deeply than any text for people does. */
const tooDeep = /^(?=(?:[ \t]*(?:[>*+-]|\d+[.)])){33})/gm;

/** Makes such lines text: the parser recurses, and a hostile answer must not exhaust its stack. */
export function flatten(text: string): string {
  return text.replaceAll(tooDeep, "\\");
}

function parse(text: string): MarkedToken[] {
  return new Lexer({ gfm: true, breaks: true }).lex(text) as MarkedToken[];
}
