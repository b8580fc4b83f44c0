// Chooses the layout of ternary weights by a short measurement on this machine, at load.
import type { Model } from "../model.ts";
import { layouts } from "../native/abi.ts";
import type { Host, Pool } from "../native/host.ts";
import type { NativeEntry } from "../native/library.ts";
import { addressOf, bytesView } from "../native/memory.ts";
import { writeStruct } from "../native/struct.ts";
import type { KernelTable } from "../tape/kernels.ts";

/** Ternary weights from which measuring pays: below, a step takes no time with any layout. */
const leastWeights = 1 << 28;
/** Columns of the matrix, and bytes of it: more than the caches of two cores hold. */
const columns = 2560;
const matrixBytes = 24 << 20;
/** Room for a row's scale; keeps what follows aligned. */
const scaleBytes = Math.ceil(layouts.RowScale.size / 64) * 64;
const rounds = 5;
/** Another layout than the preferred one must take less than this share of its time, beyond noise. */
const margin = 0.9;
/** A layout that much slower at first is not run again. */
const hopeless = 1.5;
/** Four or five codes of zero, in a byte of any layout: the value counts for nothing here. */
const filling = 0x55;

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
  if (!preferred || own.length === 0 || ternaryWeights(model) < leastWeights) return undefined;
  const all = [preferred, ...own];
  return all[fastest(measureLayouts(host, pool, all))]?.format;
}

/** Index of the least time, where it is clearly below the first one; else 0. */
export function fastest(times: readonly number[]): number {
  const best = Math.min(...times);
  return best < (times[0] ?? 0) * margin ? times.indexOf(best) : 0;
}

/** Milliseconds of one row on the same matrix in each layout: least of alternating runs, as others only add. */
export function measureLayouts(host: Host, pool: Pool, entries: readonly NativeEntry[]): number[] {
  const perRow = Math.max(...entries.map((entry) => host.packedBytes(entry, 16, columns))) / 16;
  const n = Math.floor(matrixBytes / perRow / 16) * 16;
  using weights = host.alloc(Math.max(...entries.map((e) => host.packedBytes(e, n, columns))));
  // Memory that was never written is one page of zeros, which a cache holds.
  bytesView(weights.address, weights.bytes).fill(filling);
  using rows = host.alloc(columns + scaleBytes + 8 * n);
  bytesView(rows.address, columns).fill(1);
  const xScale = rows.address + columns;
  const scale = xScale + scaleBytes;
  const step = new DataView(new ArrayBuffer(layouts.Step.size));
  writeStruct(step, 0, layouts.Step, { rows: 1, sequences: 1 });
  const ops = entries.map(({ run, units, grain }) => {
    const op = new DataView(new ArrayBuffer(layouts.Op.size));
    writeStruct(op, 0, layouts.Op, { run, units, grain, tag: 0 });
    writeStruct(op, layouts.Op.fields.args.offset, layouts.Linear, {
      x: rows.address,
      xScale,
      weight: weights.address,
      scale,
      out: scale + 4 * n,
      xStride: columns,
      outStride: n,
      n,
      k: columns,
      multiplier: 1,
    });
    return op;
  });
  const times = ops.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    ops.forEach((op, i) => {
      const own = times[i] ?? [];
      if (round > 0 && (own[0] ?? 0) > hopeless * (times[0]?.[0] ?? 0)) return;
      const start = performance.now();
      host.run(pool, addressOf(op), 1, addressOf(step));
      own.push(performance.now() - start);
    });
  }
  return times.map((all) => Math.min(...all));
}

function ternaryWeights(model: Model): number {
  let sum = 0;
  for (const { ternary, shape } of model.tensors.values()) {
    if (ternary) sum += shape.reduce((product, size) => product * size, 1);
  }
  return sum;
}
