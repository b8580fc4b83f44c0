// Constraints on generated text: which tokens may come next, for one sequence.
import type { ConstraintSource } from "../engine/protocol.ts";
import { WrinkleFreeError } from "../errors.ts";
import type { Tokenizer } from "../text/types.ts";
import { Matcher, type State, tooAmbiguous } from "./matcher.ts";
import { compile } from "./program.ts";
import { parseSource } from "./source.ts";
import { TokenTrie } from "./token-trie.ts";
import { LazyTrigger } from "./trigger.ts";

/** What a sequence's text must match. Other libraries can stand in by the same interface. */
export interface Constraint {
  /**
   * Sets the bits (bit i & 31 of word i >> 5) of exactly the tokens that may come next; end tokens
   * only where the text is complete. Returns false, `into` untouched, when all tokens may.
   */
  mask(into: Uint32Array): boolean;
  /** Takes the token that was drawn. */
  accept(token: number): void;
  /** Nothing but an end token may follow. */
  readonly finished: boolean;
}

/** Checks a constraint without a model. Throws `bad_request` saying what is wrong with it. */
export function checkConstraint(source: ConstraintSource): void {
  compile(parseSource(source));
}

/** Compiled grammars kept; masks kept among all of them; places visited for one mask. */
const limits = { grammars: 32, masks: 1024, work: 2_000_000 };

/** Below this many characters, a class is as quickly walked as looked up. */
const wideSet = 48;

/** Makes the constraints of one model; keeps what they share. */
export class ConstraintFactory {
  readonly tokenizer: Tokenizer;
  readonly #matchers = new Map<string, Matcher>();
  #trie: TokenTrie | undefined;
  #masked: State[] = [];

  constructor(tokenizer: Tokenizer) {
    this.tokenizer = tokenizer;
  }

  /**
   * The constraint of one sequence. Throws `bad_request` for a source that is wrong.
   * @param endTokens allowed where the text is complete; default: the tokenizer's
   */
  create(source: ConstraintSource, endTokens?: Iterable<number>): Constraint {
    const ends = [...(endTokens ?? this.tokenizer.endTokens)];
    return new GrammarConstraint(this, this.#matcher(source), ends, source.lazy?.triggers);
  }

  #matcher(source: ConstraintSource): Matcher {
    const key = `${source.kind} ${source.source}`;
    let matcher = this.#matchers.get(key);
    if (matcher === undefined) {
      matcher = new Matcher(compile(parseSource(source)));
      const oldest = this.#matchers.keys().next().value;
      if (this.#matchers.size >= limits.grammars) this.#matchers.delete(oldest!);
    }
    this.#matchers.delete(key);
    this.#matchers.set(key, matcher);
    return matcher;
  }

  /** The tokens that may follow in a state, end tokens aside. Shared: not to be changed. */
  mask(matcher: Matcher, state: State): Uint32Array {
    if (state.mask !== undefined) return state.mask;
    this.#trie ??= new TokenTrie(this.tokenizer);
    const mask = computeMask(this.#trie, matcher, state);
    this.#markTokens(matcher, state, mask);
    if (this.#masked.length >= limits.masks) {
      for (const old of this.#masked) old.mask = undefined;
      this.#masked = [];
    }
    this.#masked.push(state);
    state.mask = mask;
    return mask;
  }

  /** Whether a token is the one that a grammar names by id or text. */
  isNamed(token: number, name: number | string): boolean {
    return token === (typeof name === "number" ? name : this.tokenizer.id(name));
  }

  #markTokens(matcher: Matcher, state: State, mask: Uint32Array): void {
    for (const item of state.items) {
      const node = matcher.program.nodes[item.node]!;
      if (node.kind !== "token") continue;
      const id = typeof node.token === "number" ? node.token : this.tokenizer.id(node.token);
      if (id === undefined || id >= this.tokenizer.vocabularySize) {
        throw new WrinkleFreeError("bad_request", `grammar: the model has no token ${node.token}`, {
          field: "grammar",
        });
      }
      const before = mask[id >> 5]!;
      if (node.negated) mask.fill(-1);
      const bit = 1 << (id & 31);
      mask[id >> 5] = node.negated ? (before & bit) | (mask[id >> 5]! & ~bit) : before | bit;
    }
  }
}

/**
 * Walks the tree of tokens along with the grammar. Where a loop over a wide character class waits,
 * its tokens come from the class's slice, and only what lies outside of it is walked.
 */
function computeMask(trie: TokenTrie, matcher: Matcher, state: State): Uint32Array {
  const { bytes, depths, ends, tokens } = trie;
  const mask = new Uint32Array((trie.vocabularySize + 31) >> 5);
  const { need, most } = addSlices(trie, matcher, state, mask);
  const path: State[] = [];
  const lastWork = matcher.work + limits.work;
  for (let node = 0; node < bytes.length; ) {
    if (need !== undefined && need[node]! <= most) {
      node = ends[node]!;
      continue;
    }
    const depth = depths[node]!;
    const next = matcher.step(depth === 0 ? state : path[depth - 1]!, bytes[node]!);
    if (next === null) {
      node = ends[node]!;
      continue;
    }
    if (tokens[node]! >= 0) trie.mark(node, mask);
    if (matcher.work > lastWork) throw tooAmbiguous();
    path[depth] = next;
    node++;
  }
  return mask;
}

/** Adds the slices of the loops that wait in a state; returns the one that covers most. */
function addSlices(
  trie: TokenTrie,
  { program }: Matcher,
  state: State,
  mask: Uint32Array,
): { need: Uint8Array | undefined; most: number } {
  let need: Uint8Array | undefined;
  let most = 0;
  let widest = 0;
  for (const item of state.items) {
    const node = program.nodes[item.node]!;
    if (node.kind !== "loop" || item.sub !== 0 || node.max - item.count < 2) continue;
    const set = program.sets[node.set]!;
    const width = set.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    if (width < wideSet) continue;
    const slice = trie.slice(set.join(";"), program.automata[node.set]!);
    const length = Math.min(node.max - item.count, slice.longest);
    const within = slice.within(length);
    for (let word = 0; word < mask.length; word++) mask[word]! |= within[word]!;
    if (width * length <= widest) continue;
    widest = width * length;
    need = slice.need;
    most = length;
  }
  return { need, most };
}

class GrammarConstraint implements Constraint {
  readonly #factory: ConstraintFactory;
  readonly #matcher: Matcher;
  readonly #endTokens: readonly number[];
  readonly #trigger: LazyTrigger | undefined;
  /** null: the text left the grammar, which only text that was not masked can do. */
  #state: State | null;
  #ended = false;

  constructor(
    factory: ConstraintFactory,
    matcher: Matcher,
    endTokens: readonly number[],
    triggers: readonly string[] | undefined,
  ) {
    this.#factory = factory;
    this.#matcher = matcher;
    this.#endTokens = endTokens;
    this.#trigger = triggers === undefined ? undefined : new LazyTrigger(triggers);
    this.#state = matcher.start;
  }

  get finished(): boolean {
    if (this.#ended) return true;
    const state = this.#state;
    return this.#active && (state === null || (state.accepts && state.items.length === 0));
  }

  get #active(): boolean {
    return this.#trigger === undefined || this.#trigger.found;
  }

  mask(into: Uint32Array): boolean {
    if (!this.#active) return false;
    const state = this.#state;
    if (state === null || this.#ended) into.fill(0);
    else into.set(this.#factory.mask(this.#matcher, state));
    // A vocabulary that lacks the bytes to go on must not be stuck.
    if (state === null || state.accepts || into.every((word) => word === 0)) {
      for (const token of this.#endTokens) into[token >> 5]! |= 1 << (token & 31);
    }
    return true;
  }

  accept(token: number): void {
    if (this.#ended) return;
    if (this.#endTokens.includes(token)) {
      this.#ended = this.#active;
      return;
    }
    const bytes = this.#factory.tokenizer.bytes(token);
    if (this.#trigger !== undefined && !this.#trigger.found) {
      const rest = this.#trigger.push(bytes);
      if (rest !== undefined) this.#feed(rest);
      return;
    }
    const before = this.#state;
    this.#feed(this.#factory.tokenizer.isSpecial(token) ? undefined : bytes);
    if (before === null) return;
    const named = (name: number | string) => this.#factory.isNamed(token, name);
    const byToken = this.#matcher.stepToken(before, named);
    this.#state = this.#state === null ? byToken : this.#state;
  }

  #feed(bytes: Uint8Array | undefined): void {
    let state = bytes === undefined ? null : this.#state;
    for (const byte of bytes ?? []) {
      if (state === null) break;
      state = this.#matcher.step(state, byte);
    }
    this.#state = state;
  }
}
