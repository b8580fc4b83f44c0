// What every notation (GBNF, JSON Schema, regular expression) is read into: a context-free grammar.
import type { CharacterSet } from "./characters.ts";

export type Expression =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "characters"; readonly set: CharacterSet }
  | { readonly kind: "sequence"; readonly items: readonly Expression[] }
  | { readonly kind: "choice"; readonly items: readonly Expression[] }
  | {
      readonly kind: "repeat";
      readonly item: Expression;
      readonly min: number;
      /** Infinity = without end. */
      readonly max: number;
    }
  | { readonly kind: "rule"; readonly name: string }
  /** One token of the vocabulary, by id or by text, or (`negated`) any but it. */
  | { readonly kind: "token"; readonly token: number | string; readonly negated: boolean };

/** Rules by name, and the name of the one that all text must match. */
export interface Grammar {
  readonly rules: ReadonlyMap<string, Expression>;
  readonly root: string;
}

export const empty: Expression = { kind: "sequence", items: [] };

export const text = (text: string): Expression => ({ kind: "text", text });

export const characters = (set: CharacterSet): Expression => ({ kind: "characters", set });

export const rule = (name: string): Expression => ({ kind: "rule", name });

export const sequence = (...items: readonly Expression[]): Expression =>
  items.length === 1 ? items[0]! : { kind: "sequence", items };

export const choice = (...items: readonly Expression[]): Expression =>
  items.length === 1 ? items[0]! : { kind: "choice", items };

export const repeat = (item: Expression, min = 0, max = Infinity): Expression =>
  min === 1 && max === 1 ? item : { kind: "repeat", item, min, max };

export const optional = (item: Expression): Expression => repeat(item, 0, 1);
