// A grammar compiled to a graph of nodes that the matcher walks byte by byte.
import { WrinkleFreeError } from "../errors.ts";
import { automaton, type CharacterAutomaton, type CharacterSet } from "./characters.ts";
import type { Expression, Grammar } from "./expression.ts";
import { canEnd, isNullable, rulesWhere } from "./rules.ts";
import { type TextTree, textTree } from "./text-tree.ts";

/** Larger grammars are refused. */
const limits = {
  nodes: 200_000,
  rules: 8000,
  depth: 300,
  nullableRepeats: 1000,
  /** Of all character classes together: 1 KiB each. */
  states: 16_384,
};

export type Node =
  | { readonly kind: "byte"; readonly byte: number; next: number }
  /** Epsilon moves to all of `next`. */
  | { readonly kind: "split"; readonly next: number[] }
  /** Runs rule `rule`, then goes on at `next`. */
  | { readonly kind: "call"; readonly rule: number; next: number }
  /** Ends a rule or the body of a loop. */
  | { readonly kind: "return" }
  /**
   * From min to max rounds, each one character of class `set` (-1 = none) or the body at `body`
   * (-1 = none), then `next`.
   */
  | {
      readonly kind: "loop";
      readonly set: number;
      readonly body: number;
      readonly min: number;
      readonly max: number;
      readonly next: number;
    }
  | {
      readonly kind: "token";
      readonly token: number | string;
      readonly negated: boolean;
      next: number;
    };

export interface Program {
  readonly nodes: readonly Node[];
  /** First node of each rule; 0 is the root. */
  readonly starts: readonly number[];
  readonly sets: readonly CharacterSet[];
  readonly automata: readonly CharacterAutomaton[];
  /** Bytes of one class act alike everywhere in the program. */
  readonly byteClass: Uint8Array;
  /** A byte of each class. */
  readonly representatives: readonly number[];
}

/** Throws `bad_request`: an undefined rule, left recursion, no end, or a grammar too large. */
export function compile(grammar: Grammar): Program {
  const compiler = new Compiler(grammar);
  const program = compiler.run();
  refuseLeftRecursion(program, compiler);
  if (!rulesWhere(grammar, canEnd).has(grammar.root)) refuse("no text that matches it has an end");
  return program;
}

class Compiler {
  readonly names: string[] = [];
  readonly #grammar: Grammar;
  readonly #nodes: Node[] = [{ kind: "return" }];
  readonly #starts: number[] = [];
  readonly #indices = new Map<string, number>();
  readonly #nullableNames: ReadonlySet<string>;
  readonly #sets: CharacterSet[] = [];
  readonly #setIndices = new Map<string, number>();
  #depth = 0;

  constructor(grammar: Grammar) {
    this.#grammar = grammar;
    if (grammar.rules.size > limits.rules) refuse(`it has more than ${limits.rules} rules`);
    this.#nullableNames = rulesWhere(grammar, isNullable);
  }

  /** Whether each rule matches the empty text. */
  get nullable(): boolean[] {
    return this.names.map((name) => this.#nullableNames.has(name));
  }

  run(): Program {
    this.#rule(this.#grammar.root);
    // Rules are compiled as they come up, so that unused ones cost nothing.
    for (let i = 0; i < this.names.length; i++) {
      this.#starts[i] = this.#compile(this.#grammar.rules.get(this.names[i]!)!, 0);
    }
    let states = 0;
    const automata = this.#sets.map((set) => {
      const made = automaton(set);
      states += made.states;
      if (states > limits.states) refuse("it has too many different character classes");
      return made;
    });
    return {
      nodes: this.#nodes,
      starts: this.#starts,
      sets: this.#sets,
      automata,
      ...byteClasses(this.#nodes, automata),
    };
  }

  #rule(name: string): number {
    let index = this.#indices.get(name);
    if (index === undefined) {
      if (!this.#grammar.rules.has(name)) refuse(`rule "${name}" is not defined`);
      index = this.names.push(name) - 1;
      this.#indices.set(name, index);
    }
    return index;
  }

  #add(node: Node): number {
    if (this.#nodes.length >= limits.nodes) {
      refuse(`it is too large: more than ${limits.nodes} elements`);
    }
    return this.#nodes.push(node) - 1;
  }

  /** The node at which `expression`, followed by `next`, begins. */
  #compile(expression: Expression, next: number): number {
    if (++this.#depth > limits.depth) refuse(`it is nested more than ${limits.depth} deep`);
    const start = this.#kind(expression, next);
    this.#depth--;
    return start;
  }

  #kind(expression: Expression, next: number): number {
    switch (expression.kind) {
      case "text":
        return this.#bytes(new TextEncoder().encode(expression.text), next);
      case "characters":
        return this.#loop(expression, 1, 1, next);
      case "sequence": {
        let at = next;
        for (let i = expression.items.length - 1; i >= 0; i--) {
          at = this.#compile(expression.items[i]!, at);
        }
        return at;
      }
      case "choice":
        return this.#choice(expression.items, next);
      case "rule":
        return this.#add({ kind: "call", rule: this.#rule(expression.name), next });
      case "repeat":
        return this.#repeat(expression, next);
      case "token":
        return this.#add({ ...expression, next });
    }
  }

  #bytes(bytes: Uint8Array, next: number): number {
    let at = next;
    for (let i = bytes.length - 1; i >= 0; i--) {
      at = this.#add({ kind: "byte", byte: bytes[i]!, next: at });
    }
    return at;
  }

  /** Plain texts share their beginnings; what else there is stands beside them. */
  #choice(items: readonly Expression[], next: number): number {
    const texts = items.flatMap((item) => (item.kind === "text" ? [item.text] : []));
    const others = items.filter((item) => item.kind !== "text");
    const ways = others.map((item) => this.#compile(item, next));
    if (texts.length > 0) ways.push(this.#tree(textTree(texts), next));
    return this.#split(ways);
  }

  #tree(tree: TextTree, next: number): number {
    const ways = tree.branches.map((branch) => this.#tree(branch, next));
    if (tree.ends) ways.push(next);
    return this.#bytes(tree.bytes, this.#split(ways));
  }

  #split(ways: readonly number[]): number {
    return ways.length === 1 ? ways[0]! : this.#add({ kind: "split", next: [...ways] });
  }

  #repeat({ item, min, max }: Expression & { kind: "repeat" }, next: number): number {
    if (max === 0) return next;
    if (min === 0 && max === 1) {
      return this.#add({ kind: "split", next: [this.#compile(item, next), next] });
    }
    const counts = max === Infinity ? min : max;
    if (counts > limits.nullableRepeats && isNullable(item, this.#nullableNames)) {
      refuse(`${counts} repetitions of something that may be empty`);
    }
    return this.#loop(item, min, max, next);
  }

  /** Alternatives that are single characters become the loop's class, which is fast to mask. */
  #loop(item: Expression, min: number, max: number, next: number): number {
    const items = item.kind === "choice" ? item.items : [item];
    const sets = items.filter((i) => i.kind === "characters");
    const others = items.filter((i) => i !== sets[0]);
    let body = -1;
    if (others.length === 1) body = this.#compile(others[0]!, 0);
    else if (others.length > 1) body = this.#compile({ kind: "choice", items: others }, 0);
    const set = sets.length > 0 ? this.#set(sets[0]!.set) : -1;
    return this.#add({ kind: "loop", set, body, min, max, next });
  }

  #set(set: CharacterSet): number {
    const key = set.join(";");
    let index = this.#setIndices.get(key);
    if (index === undefined) {
      index = this.#sets.push(set) - 1;
      this.#setIndices.set(key, index);
    }
    return index;
  }
}

function refuse(what: string): never {
  throw new WrinkleFreeError("bad_request", `the grammar cannot be used: ${what}`, {
    field: "grammar",
  });
}

function byteClasses(
  nodes: readonly Node[],
  automata: readonly CharacterAutomaton[],
): Pick<Program, "byteClass" | "representatives"> {
  let classes = new Uint8Array(256);
  let count = 1;
  const refine = (value: (byte: number) => number): void => {
    if (count === 256) return;
    const seen = new Map<string, number>();
    const refined = new Uint8Array(256);
    for (let byte = 0; byte < 256; byte++) {
      const key = `${classes[byte]} ${value(byte)}`;
      if (!seen.has(key)) seen.set(key, seen.size);
      refined[byte] = seen.get(key)!;
    }
    classes = refined;
    count = seen.size;
  };
  const literals = new Set<number>();
  for (const node of nodes) if (node.kind === "byte") literals.add(node.byte);
  for (const literal of literals) refine((byte) => (byte === literal ? 1 : 0));
  for (const { table, states } of automata) {
    for (let state = 0; state < states; state++) refine((byte) => table[state * 256 + byte]!);
  }
  const representatives: number[] = [];
  for (let byte = 0; byte < 256; byte++) representatives[classes[byte]!] ??= byte;
  return { byteClass: classes, representatives };
}

/**
 * Left recursion would call rules without end before a byte is read. Looks for a cycle of rules
 * that call each other at their very beginning.
 */
function refuseLeftRecursion(program: Program, { names, nullable }: Compiler): void {
  const state = new Uint8Array(program.starts.length);
  const visit = (root: number): void => {
    const path = [{ rule: root, calls: firstCalls(program, root, nullable), at: 0 }];
    state[root] = 1;
    while (path.length > 0) {
      const top = path.at(-1)!;
      const called = top.calls[top.at++];
      if (called === undefined) {
        state[top.rule] = 2;
        path.pop();
      } else if (state[called] === 1) {
        refuse(`rule "${names[called]}" begins with itself (left recursion)`);
      } else if (state[called] === 0) {
        state[called] = 1;
        path.push({ rule: called, calls: firstCalls(program, called, nullable), at: 0 });
      }
    }
  };
  for (const rule of program.starts.keys()) if (state[rule] === 0) visit(rule);
}

function firstCalls(program: Program, rule: number, nullable: readonly boolean[]): number[] {
  return walk(program, program.starts[rule]!, nullable).calls;
}

/** What can be reached from a node without reading a byte. */
function walk(
  { nodes }: Program,
  start: number,
  nullable: readonly boolean[],
): { calls: number[]; ends: boolean } {
  const seen = new Set<number>();
  const calls: number[] = [];
  const stack = [start];
  const enter = (node: number) => {
    if (!seen.has(node)) stack.push(node);
    seen.add(node);
  };
  // Node 0 ends rules and loop bodies alike; a body's end leads on to its loop's next node.
  let ends = false;
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const node = nodes[at]!;
    if (node.kind === "return") ends = true;
    else if (node.kind === "split") for (const next of node.next) enter(next);
    else if (node.kind === "call") {
      calls.push(node.rule);
      if (nullable[node.rule]) enter(node.next);
    } else if (node.kind === "loop") {
      const body = node.body < 0 ? undefined : walk({ nodes } as Program, node.body, nullable);
      if (body) calls.push(...body.calls);
      if (node.min === 0 || body?.ends) enter(node.next);
    }
  }
  return { calls, ends };
}
