// Keeps the most used experts of each layer packed, while the others run from the mapped file.
import type { NativeEntry } from "../native/library.ts";
import { dataView } from "../native/memory.ts";
import { type ExpertCounters, tokensOf } from "./expert-use.ts";

/** One linear of all experts, of which some are packed besides. */
export interface ResidentStack {
  /** The layout that experts are packed to. */
  readonly entry: NativeEntry;
  /** Address of u64 [experts]: where an expert's packed weights are, 0 = they are not. */
  readonly table: number;
  /** Packs an expert into a place (0..places - 1) and returns the address. */
  pack(expert: number, place: number): number;
}

/** An expert takes a place from another one that got less than half its tokens of late. */
const advantage = 2;

interface Layer {
  readonly counters: ExpertCounters;
  readonly stacks: readonly ResidentStack[];
  /** Expert in each place. */
  readonly places: number[];
  /** Tokens of each expert, older ones counting half as much at each look. */
  readonly recent: Float64Array;
  seen: readonly number[];
}

/**
 * After each step one layer, in turn, may exchange one expert: so that no step waits for more than
 * that. Packed or not, an expert computes the same bits.
 */
export class ResidentExperts {
  /** Places of each layer; undefined: all experts are packed. */
  readonly places: number | undefined;
  readonly #layers: Layer[] = [];
  #next = 0;

  constructor(places: number | undefined) {
    this.places = places;
  }

  /** Whether a stack of that many experts is not packed as a whole. */
  limits(experts: number): boolean {
    return this.places !== undefined && this.places < experts;
  }

  /** Packs the first experts of a layer, until its counts tell which ones are used most. */
  add(counters: ExpertCounters, stacks: readonly ResidentStack[]): void {
    const places = Array.from({ length: this.places ?? 0 }, (_, place) => place);
    const { experts } = counters;
    const seen = new Array<number>(experts).fill(0);
    const layer: Layer = { counters, stacks, places, recent: new Float64Array(experts), seen };
    for (const place of places) hold(layer, place, place);
    this.#layers.push(layer);
  }

  /** Experts that are packed, layer by layer, ascending. */
  list(): number[][] {
    return this.#layers.map(({ places }) => places.toSorted((a, b) => a - b));
  }

  afterStep(): void {
    const layer = this.#layers[this.#next];
    if (layer === undefined) return;
    this.#next = (this.#next + 1) % this.#layers.length;
    if (layer.places.length > 0) exchange(layer);
  }
}

function exchange(layer: Layer): void {
  const { counters, places, recent } = layer;
  const now = tokensOf(counters);
  for (const [e, count] of now.entries()) {
    recent[e] = recent[e]! / 2 + count - layer.seen[e]!;
  }
  layer.seen = now;
  const coldest = places.reduce((a, b, i) => (recent[b]! < recent[places[a]!]! ? i : a), 0);
  let hottest = -1;
  for (const [e, tokens] of recent.entries()) {
    if (tokens > (recent[hottest] ?? 0) && !places.includes(e)) hottest = e;
  }
  const old = places[coldest]!;
  if (hottest < 0 || recent[hottest]! <= advantage * recent[old]!) return;
  for (const { table } of layer.stacks) write(table, old, 0);
  places[coldest] = hottest;
  hold(layer, hottest, coldest);
}

function hold({ stacks }: Layer, expert: number, place: number): void {
  for (const stack of stacks) write(stack.table, expert, stack.pack(expert, place));
}

function write(table: number, expert: number, address: number): void {
  dataView(table + expert * 8, 8).setBigUint64(0, BigInt(address), true);
}
