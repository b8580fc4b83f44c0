// Chooses the layout of ternary weights by a short measurement on this machine, at load.
import type { Model } from "../model.ts";
import type { Host, Pool } from "../native/host.ts";
import type { NativeEntry } from "../native/library.ts";
import type { KernelTable } from "../tape/kernels.ts";
import { measureLinears } from "./measure.ts";

/** Ternary weights from which measuring pays: below, a step takes no time with any layout. */
const leastWeights = 1 << 28;
/** Columns of the matrix, and bytes of it: more than the caches of two cores hold. */
const columns = 2560;
const matrixBytes = 24 << 20;
/** Another layout than the preferred one must take less than this share of its time, beyond noise. */
const margin = 0.9;

/**
 * The fastest of a library's layouts for one row, or the one that the library prefers where none is
 * clearly faster; undefined where there is no choice, or the model is too small to tell. The results of
 * all layouts have the same bits.
 */
export function fastestLayout(
  model: Model,
  host: Host,
  pool: Pool,
  kernels: KernelTable,
): string | undefined {
  const [preferred, ...others] = kernels.ternaryLayouts();
  const own = others.filter((entry) => entry.library === preferred?.library);
  if (!preferred || own.length === 0 || !takesTime(model)) return undefined;
  const all = [preferred, ...own];
  return all[fastest(measureLayouts(host, pool, all))]?.format;
}

/** Index of the least time, where it is clearly below the first one; else 0. */
export function fastest(times: readonly number[]): number {
  const best = Math.min(...times);
  return best < (times[0] ?? 0) * margin ? times.indexOf(best) : 0;
}

/** Milliseconds of one row on the same matrix in each layout. */
export function measureLayouts(host: Host, pool: Pool, entries: readonly NativeEntry[]): number[] {
  const perRow = Math.max(...entries.map((entry) => host.packedBytes(entry, 16, columns))) / 16;
  const n = Math.floor(matrixBytes / perRow / 16) * 16;
  return measureLinears(host, pool, entries, { n, k: columns, rows: 1 });
}

/** Whether a model has ternary weights enough for a choice to matter. */
export function takesTime(model: Model): boolean {
  let sum = 0;
  for (const { ternary, shape } of model.tensors.values()) {
    if (ternary) sum += shape.reduce((product, size) => product * size, 1);
  }
  return sum >= leastWeights;
}
