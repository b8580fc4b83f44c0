// Chooses how steps of many rows multiply ternary weights: as a library prefers, or another way it has.
import { assert, WrinkleFreeError } from "../errors.ts";
import type { Host, Pool } from "../native/host.ts";
import type { NativeEntry } from "../native/library.ts";
import { linearPrefix } from "../tape/kernels.ts";
import type { Tape } from "../tape/tape.ts";
import { fastest } from "./layout.ts";
import { measureLinears } from "./measure.ts";

/** Name of the way that a library's `linear` itself takes. */
const plain = "plain";
/** Rows of a step as a prompt has them, and weights enough for all threads: milliseconds a run. */
const rows = 128;
const columns = 2560;
const rowsOfThread = 2560;
const mostRows = 13_824;

/** Which linear a tape's ops of the ternary layout run. The results of all have the same bits. */
export class Gemm {
  readonly #tape: Tape;
  /** The recorded one first. */
  readonly #linears: readonly NativeEntry[];
  #current: NativeEntry;
  #decided: boolean;

  /** `open`: whether measuring pays, without a name. Throws `usage` where `name` is none of them. */
  constructor(
    tape: Tape,
    linears: readonly NativeEntry[],
    name: string | undefined,
    open: boolean,
  ) {
    const [recorded] = linears;
    assert(recorded, "a layout has a linear");
    this.#tape = tape;
    this.#linears = linears;
    this.#current = recorded;
    this.#decided = name !== undefined || linears.length === 1 || !open;
    if (name !== undefined) this.#take(named(linears, name));
  }

  /** "plain", or the rest of the name of an op `linear_<name>`. */
  get name(): string {
    return gemmName(this.#current);
  }

  /** Takes the fastest for many rows, where that is open. */
  decide(host: Host, pool: Pool): void {
    if (this.#decided) return;
    this.#decided = true;
    const n = Math.min(rowsOfThread * pool.threads, mostRows);
    const times = measureLinears(host, pool, this.#linears, { n, k: columns, rows });
    this.#take(this.#linears[fastest(times)] ?? this.#current);
  }

  #take(linear: NativeEntry): void {
    this.#tape.exchange(this.#current, linear);
    this.#current = linear;
  }
}

function named(linears: readonly NativeEntry[], name: string): NativeEntry {
  const found = linears.find((entry) => gemmName(entry) === name);
  if (found) return found;
  const names = linears.map(gemmName).join(", ");
  throw new WrinkleFreeError("usage", `there is no --gemm ${name} for this CPU, only ${names}`, {
    flag: "--gemm",
  });
}

function gemmName({ op }: NativeEntry): string {
  return op.startsWith(linearPrefix) ? op.slice(linearPrefix.length) : plain;
}
