// The op implementations at hand: entries of all libraries that fit this CPU, the best of each first.
import { WrinkleFreeError } from "../errors.ts";
import type { NativeEntry } from "../native/library.ts";
import { findEntry } from "../native/select.ts";

/** Layouts that hold ternary weights are named t2, t5, ... */
const ternaryLayoutName = /^t\d/;

/** Another `linear` of a layout, with the same bits, is an op `linear_<name>` of the same library. */
export const linearPrefix = "linear_";

/** Whether an entry multiplies by weights that it packs. */
export function isLinear({ op, pack }: NativeEntry): boolean {
  return (op === "linear" || op.startsWith(linearPrefix)) && pack !== 0;
}

export class KernelTable {
  readonly #entries: readonly NativeEntry[];
  #preferred: string | undefined;

  /** Entries of higher priority win; among equals those of the library that comes first. */
  constructor(entries: readonly NativeEntry[]) {
    this.#entries = entries;
  }

  find(op: string, format = ""): NativeEntry | undefined {
    return findEntry(this.#entries, op, format);
  }

  /** Like `find`, but throws `plugin` where no library offers the op. */
  get(op: string, format = ""): NativeEntry {
    const entry = this.find(op, format);
    if (entry) return entry;
    const what = format === "" ? op : `${op} (${format})`;
    throw new WrinkleFreeError("plugin", `no kernel library offers the op ${what}`, {
      hint: "Build the kernels with `npm run setup`.",
    });
  }

  /** Puts a ternary layout before those of higher priority. */
  prefer(layout: string | undefined): void {
    this.#preferred = layout;
  }

  /** The layout that ternary linears are packed to: the named one, or the preferred one. */
  ternaryLayout(name?: string): NativeEntry {
    const layouts = this.ternaryLayouts();
    const found = name === undefined ? layouts[0] : layouts.find((entry) => entry.format === name);
    if (found) return found;
    const names = layouts.map((entry) => entry.format).join(", ");
    throw new WrinkleFreeError("usage", `no ternary layout ${name ?? ""}: there are ${names}`, {
      flag: "--layout",
    });
  }

  /** Every layout for ternary linears, the preferred one first. */
  ternaryLayouts(): readonly NativeEntry[] {
    return this.#entries
      .filter((entry) => entry.op === "linear" && ternaryLayoutName.test(entry.format))
      .sort((a, b) => this.#rank(b) - this.#rank(a));
  }

  /** A layout's linears: the one that its library prefers, and others that work on the same weights. */
  linearsOf(layout: NativeEntry): readonly NativeEntry[] {
    const others = this.#entries.filter(
      ({ op, format, library, isa, pack }) =>
        op.startsWith(linearPrefix) &&
        format === layout.format &&
        library === layout.library &&
        isa === layout.isa &&
        pack === layout.pack,
    );
    return [layout, ...others];
  }

  #rank(layout: NativeEntry): number {
    return layout.format === this.#preferred ? Infinity : layout.priority;
  }
}
