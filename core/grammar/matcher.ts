// Walks a compiled grammar: states are sets of stacks, made as they come up and remembered.
import { WrinkleFreeError } from "../errors.ts";
import { complete, dead } from "./characters.ts";
import type { Program } from "./program.ts";

/** More work than this for one byte means an ambiguous grammar that would grow without end. */
const limits = { visits: 4000, states: 20_000 };

/** A place in the program: waits at `node` for a byte (or a token). */
interface Item {
  readonly id: number;
  readonly node: number;
  /** State of a loop's character automaton; 0 between characters. */
  readonly sub: number;
  /** Rounds of the loop that are done. */
  readonly count: number;
  readonly frame: Frame;
}

/** Where to go on when a rule or a loop's body ends. */
interface Frame {
  readonly id: number;
  readonly node: number;
  readonly count: number;
  readonly parent: Frame | undefined;
}

/** What may follow a text: immutable, save for what is remembered. */
export interface State {
  readonly items: readonly Item[];
  /** The text so far is complete. */
  readonly accepts: boolean;
  /** By byte class; undefined = not computed, null = no text goes on so. */
  readonly next: (State | null | undefined)[];
  /** Kept here by those who compute masks. */
  mask: Uint32Array | undefined;
}

interface Closing {
  readonly items: Map<number, Item>;
  readonly seen: Set<string>;
  accepts: boolean;
}

/** The automaton of one program. All methods are pure; states may be shared between sequences. */
export class Matcher {
  readonly program: Program;
  readonly start: State;
  readonly #bottom: Frame = { id: 0, node: -1, count: 0, parent: undefined };
  readonly #frames = new Map<string, Frame>();
  readonly #items = new Map<string, Item>();
  readonly #states = new Map<string, State>();
  #nextId = 1;
  #work = 0;

  constructor(program: Program) {
    this.program = program;
    const closing = newClosing();
    this.#close(program.starts[0]!, this.#bottom, closing);
    this.start = this.#state(closing);
  }

  /** Places visited so far, in all states together: a measure of time. */
  get work(): number {
    return this.#work;
  }

  /** The state after one more byte, or null when no text of the grammar goes on with it. */
  step(state: State, byte: number): State | null {
    const byteClass = this.program.byteClass[byte]!;
    const known = state.next[byteClass];
    if (known !== undefined) return known;
    const next = this.#advance(state, this.program.representatives[byteClass]!);
    state.next[byteClass] = next;
    return next;
  }

  /** The state after a token of the vocabulary that the grammar names itself, or null. */
  stepToken(state: State, matches: (token: number | string) => boolean): State | null {
    const closing = newClosing();
    for (const { node: index, frame } of state.items) {
      const node = this.program.nodes[index]!;
      if (node.kind === "token" && matches(node.token) !== node.negated) {
        this.#close(node.next, frame, closing);
      }
    }
    return closing.items.size === 0 && !closing.accepts ? null : this.#state(closing);
  }

  #advance(state: State, byte: number): State | null {
    const { nodes, automata } = this.program;
    const closing = newClosing();
    for (const item of state.items) {
      const node = nodes[item.node]!;
      if (node.kind === "byte") {
        if (node.byte === byte) this.#close(node.next, item.frame, closing);
      } else if (node.kind === "loop") {
        const sub = automata[node.set]!.table[item.sub * 256 + byte]!;
        if (sub === complete) this.#loop(item.node, item.count + 1, item.frame, closing);
        else if (sub !== dead) this.#add(item.node, sub, item.count, item.frame, closing);
      }
    }
    return closing.items.size === 0 && !closing.accepts ? null : this.#state(closing);
  }

  /** Follows all moves that read nothing from (node, frame). */
  #close(start: number, startFrame: Frame, closing: Closing): void {
    const work: [number, Frame, number][] = [[start, startFrame, 0]];
    for (let top = work.pop(); top !== undefined; top = work.pop()) {
      const [index, frame, count] = top;
      if (!this.#first(index, count, frame, closing)) continue;
      const node = this.program.nodes[index]!;
      switch (node.kind) {
        case "return":
          if (frame.parent === undefined) closing.accepts = true;
          else work.push([frame.node, frame.parent, frame.count]);
          break;
        case "split":
          for (const next of node.next) work.push([next, frame, 0]);
          break;
        case "call": {
          const isLast = this.program.nodes[node.next]!.kind === "return";
          const inner = isLast ? frame : this.#frame(node.next, 0, frame);
          work.push([this.program.starts[node.rule]!, inner, 0]);
          break;
        }
        case "loop": {
          // Without a maximum, all rounds past the minimum are alike.
          const done = node.max === Infinity ? Math.min(count, node.min) : count;
          if (done >= node.min) work.push([node.next, frame, 0]);
          if (done >= node.max) break;
          if (node.set >= 0) this.#add(index, 0, done, frame, closing);
          if (node.body >= 0) work.push([node.body, this.#frame(index, done + 1, frame), 0]);
          break;
        }
        default:
          this.#add(index, 0, 0, frame, closing);
      }
    }
  }

  #loop(index: number, count: number, frame: Frame, closing: Closing): void {
    // A loop that is done at once needs no visit of its own: most are single characters.
    const node = this.program.nodes[index]!;
    if (node.kind === "loop" && count === node.max) this.#close(node.next, frame, closing);
    else this.#closeFrom(index, count, frame, closing);
  }

  #closeFrom(index: number, count: number, frame: Frame, closing: Closing): void {
    this.#close(0, this.#frame(index, count, frame), closing);
  }

  #first(node: number, count: number, frame: Frame, closing: Closing): boolean {
    const key = `${node} ${count} ${frame.id}`;
    if (closing.seen.has(key)) return false;
    closing.seen.add(key);
    this.#work++;
    if (closing.seen.size > limits.visits) {
      throw tooAmbiguous();
    }
    return true;
  }

  #add(node: number, sub: number, count: number, frame: Frame, closing: Closing): void {
    const key = `${node} ${sub} ${count} ${frame.id}`;
    let item = this.#items.get(key);
    if (item === undefined) {
      item = { id: this.#nextId++, node, sub, count, frame };
      this.#items.set(key, item);
    }
    closing.items.set(item.id, item);
  }

  #frame(node: number, count: number, parent: Frame): Frame {
    const key = `${node} ${count} ${parent.id}`;
    let frame = this.#frames.get(key);
    if (frame === undefined) {
      frame = { id: this.#nextId++, node, count, parent };
      this.#frames.set(key, frame);
    }
    return frame;
  }

  #state({ items, accepts }: Closing): State {
    const sorted = [...items.values()].sort((a, b) => a.id - b.id);
    const key = `${accepts ? "!" : ""}${sorted.map((item) => item.id).join(" ")}`;
    let state = this.#states.get(key);
    if (state === undefined) {
      // States in use live on; those not reached any more are freed, and made again if needed.
      if (this.#states.size >= limits.states) this.#forget();
      state = { items: sorted, accepts, next: [], mask: undefined };
      this.#states.set(key, state);
    }
    return state;
  }

  #forget(): void {
    for (const state of this.#states.values()) state.next.length = 0;
    this.#states.clear();
    this.#items.clear();
    this.#frames.clear();
  }
}

export function tooAmbiguous(): WrinkleFreeError {
  return new WrinkleFreeError(
    "bad_request",
    "the grammar is too ambiguous: too many ways to read the text so far",
    { field: "grammar" },
  );
}

function newClosing(): Closing {
  return { items: new Map(), seen: new Set(), accepts: false };
}
