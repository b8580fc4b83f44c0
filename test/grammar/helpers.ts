// Runs constraints without a model: whole texts against a grammar, random walks through masks.
import type { ConstraintSource } from "../../core/engine/protocol.ts";
import { Matcher, type State } from "../../core/grammar/matcher.ts";
import { compile } from "../../core/grammar/program.ts";
import { parseSource } from "../../core/grammar/source.ts";
import {
  type Constraint,
  ConstraintFactory,
  createTokenizer,
  type Random,
} from "../../core/index.ts";
import { ggufSource } from "../text/sources.ts";

export const tokenizer = createTokenizer(ggufSource);
export const factory = new ConstraintFactory(tokenizer);

type Kind = ConstraintSource["kind"];

export function matcherOf(kind: Kind, source: string): Matcher {
  return new Matcher(compile(parseSource({ kind, source })));
}

export function feed(matcher: Matcher, text: string): State | null {
  let state: State | null = matcher.start;
  for (const byte of new TextEncoder().encode(text)) {
    if (state === null) return null;
    state = matcher.step(state, byte);
  }
  return state;
}

/** Whether the whole text matches. */
export function matches(kind: Kind, source: string, text: string): boolean {
  return feed(matcherOf(kind, source), text)?.accepts ?? false;
}

export function allowed(constraint: Constraint): number[] {
  const mask = new Uint32Array((tokenizer.vocabularySize + 31) >> 5);
  constraint.mask(mask);
  const tokens: number[] = [];
  for (const [word, bits] of mask.entries()) {
    for (let left = bits; left !== 0; left &= left - 1) {
      tokens.push(word * 32 + 31 - Math.clz32(left & -left));
    }
  }
  return tokens;
}

/**
 * A text made by drawing allowed tokens; it ends where it may, but early only at times. Past `most`
 * tokens, undefined.
 */
export function walk(constraint: Constraint, random: Random, most: number): string | undefined {
  const drawn: number[] = [];
  while (drawn.length < most) {
    const tokens = allowed(constraint);
    if (tokens.length === 0) throw new Error(`dead end after ${tokenizer.decode(drawn)}`);
    const texts = tokens.filter((token) => !tokenizer.endTokens.has(token));
    const mayEnd = texts.length < tokens.length;
    if (texts.length === 0 || (mayEnd && random.double() < 0.3)) return tokenizer.decode(drawn);
    const token = texts[Math.floor(random.double() * texts.length)]!;
    drawn.push(token);
    constraint.accept(token);
  }
  return undefined;
}
