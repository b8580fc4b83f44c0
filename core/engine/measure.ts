// Times ternary linears on made-up weights of one shape, for choices that are made at load.
import { blockRows, layouts } from "../native/abi.ts";
import type { Host, Pool } from "../native/host.ts";
import type { NativeEntry } from "../native/library.ts";
import { addressOf, bytesView, type Region } from "../native/memory.ts";
import { writeStruct } from "../native/struct.ts";

export interface MeasuredShape {
  /** Rows of the weights, a multiple of 16, and columns, one of 64. */
  readonly n: number;
  readonly k: number;
  /** Rows of activations. */
  readonly rows: number;
}

const rounds = 5;
/** An entry that much slower than the first one at first is not run again. */
const hopeless = 1.5;

/** Milliseconds of a run with each entry: least of alternating runs, as other programs only add. */
export function measureLinears(
  host: Host,
  pool: Pool,
  entries: readonly NativeEntry[],
  { n, k, rows }: MeasuredShape,
): number[] {
  const regions = new Map<number, Region>();
  const scaleBytes = Math.ceil((rows * layouts.RowScale.size) / 64) * 64;
  const values = host.alloc(rows * k + scaleBytes + 4 * n + 4 * n * rows);
  try {
    const x = bytesView(values.address, rows * k);
    for (let i = 0; i < x.length; i++) x[i] = (scrambled(i) % 61) - 30;
    const xScale = values.address + rows * k;
    const scale = xScale + scaleBytes;
    const step = new DataView(new ArrayBuffer(layouts.Step.size));
    writeStruct(step, 0, layouts.Step, { rows, sequences: 1 });
    const ops = entries.map((entry) => {
      const weights = regions.get(entry.pack) ?? packedWeights(host, pool, entry, n, k);
      regions.set(entry.pack, weights);
      const { run, units, grain } = entry;
      const op = new DataView(new ArrayBuffer(layouts.Op.size));
      writeStruct(op, 0, layouts.Op, { run, units, grain, tag: 0 });
      writeStruct(op, layouts.Op.fields.args.offset, layouts.Linear, {
        x: values.address,
        xScale,
        weight: weights.address,
        scale,
        out: scale + 4 * n,
        xStride: k,
        outStride: n,
        n,
        k,
        multiplier: 1,
      });
      return op;
    });
    return alternate(ops, (op) => host.run(pool, addressOf(op), 1, addressOf(step)));
  } finally {
    for (const region of regions.values()) region[Symbol.dispose]();
    values[Symbol.dispose]();
  }
}

function alternate(ops: readonly DataView[], run: (op: DataView) => void): number[] {
  const times = ops.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    ops.forEach((op, i) => {
      const own = times[i] ?? [];
      if (round > 0 && (own[0] ?? 0) > hopeless * (times[0]?.[0] ?? 0)) return;
      const start = performance.now();
      run(op);
      own.push(performance.now() - start);
    });
  }
  return times.map((all) => Math.min(...all));
}

/** Some rows of trits again and again: enough to need all entries of a look-up's tables. */
function packedWeights(host: Host, pool: Pool, entry: NativeEntry, n: number, k: number): Region {
  const bytes = host.packedBytes(entry, n, k);
  const region = host.alloc(bytes);
  const rows = Math.min(n, 8 * blockRows);
  using trits = host.alloc(rows * k);
  const values = bytesView(trits.address, rows * k);
  for (let i = 0; i < values.length; i++) values[i] = (scrambled(i) % 3) - 1;
  host.pack(pool, {
    source: trits.address,
    sourceBytes: values.length,
    pack: entry.pack,
    out: region.address,
    n: rows,
    k,
    blockStep: 1,
    float: 0,
    totalRows: rows,
  });
  const all = bytesView(region.address, bytes);
  let filled = host.packedBytes(entry, rows, k);
  for (; filled < bytes; filled *= 2) all.copyWithin(filled, 0, Math.min(filled, bytes - filled));
  return region;
}

/** 16 bits that look random: the finalizer of MurmurHash3. */
function scrambled(i: number): number {
  let bits = Math.imul(i + 1, 0x9e3779b1);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits >>> 16;
}
