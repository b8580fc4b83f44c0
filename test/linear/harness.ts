// Runs one linear case on native kernels: packs, writes the op and the step, returns the outputs.
import { layouts } from "../../core/native/abi.ts";
import type { Pool } from "../../core/native/host.ts";
import type { NativeEntry } from "../../core/native/library.ts";
import { addressOf } from "../../core/native/memory.ts";
import { type Native, openKernels } from "../../core/native/select.ts";
import { writeStruct } from "../../core/native/struct.ts";
import plugin from "../../plugins/kernels-cpu/index.ts";
import type { LinearCase } from "./oracle.ts";

/** The libraries of this machine, by ISA. */
export const natives: Map<string, Native> = new Map(
  ["generic", "avx2", "avx512", "neon"].flatMap((isa): [string, Native][] => {
    try {
      return [[isa, openKernels(plugin.kernels ?? [], { isa })]];
    } catch {
      return [];
    }
  }),
);

export const gates = { none: 0, relu2: 1, silu: 2, gelu: 3 } as const;

/** An aligned copy: the kernels want activations padded with zeros to a multiple of 64 columns. */
export function activations(c: LinearCase): { values: Int8Array | Float32Array; stride: number } {
  if (c.x instanceof Float32Array) return { values: c.x, stride: c.k };
  const stride = Math.ceil(c.k / 64) * 64;
  const values = new Int8Array(stride * c.rows);
  for (let r = 0; r < c.rows; r++) values.set(c.x.subarray(r * c.k, (r + 1) * c.k), r * stride);
  return { values, stride };
}

/** RowScale of every row (or of every block of `qBlock` columns). */
export function rowScales(c: LinearCase): Uint8Array {
  const block = c.qBlock || c.k;
  const perRow = Math.ceil(c.k / block);
  const view = new DataView(new ArrayBuffer(Math.max(8, c.rows * perRow * 8)));
  for (let r = 0; r < c.rows; r++) {
    for (let b = 0; b < perRow; b++) {
      const part = c.x.subarray(r * c.k + b * block, r * c.k + Math.min(c.k, (b + 1) * block));
      let sum = 0;
      for (const value of part) sum += value;
      view.setFloat32((r * perRow + b) * 8, c.inverse?.[r * perRow + b] ?? 1, true);
      view.setInt32((r * perRow + b) * 8 + 4, c.inverse ? sum : 0, true);
    }
  }
  return new Uint8Array(view.buffer);
}

/** Packs [n][k] on the pool. The caller disposes of the region. */
export function packed(native: Native, pool: Pool, entry: NativeEntry, c: LinearCase) {
  const region = native.host.alloc(Math.max(64, native.host.packedBytes(entry, c.n, c.k)));
  const failed = native.host.pack(pool, {
    source: addressOf(c.weights),
    sourceBytes: c.weights.byteLength,
    pack: entry.pack,
    out: region.address,
    n: c.n,
    k: c.k,
    blockStep: 1,
    float: c.weights instanceof Float32Array ? 1 : 0,
    totalRows: c.n,
  });
  if (failed !== 0) throw new Error(`pack failed: ${failed}`);
  return region;
}

/** A native copy of bytes that a layout reads as they are. */
export function copied(native: Native, bytes: Uint8Array) {
  const region = native.host.alloc(bytes.byteLength);
  native.host.copy(region.address, addressOf(bytes), bytes.byteLength);
  return region;
}

/** Outputs of a case: [rows][n] (or [rows][n / 2] with a gate). `raw`: weights of a layout that packs none. */
export function runLinear(
  native: Native,
  pool: Pool,
  entry: NativeEntry,
  c: LinearCase,
  raw?: Uint8Array,
): Float32Array {
  using weight = raw ? copied(native, raw) : packed(native, pool, entry, c);
  const { values, stride } = activations(c);
  const scales = rowScales(c);
  const gate = gates[c.gate ?? "none"];
  const columns = gate === 0 ? c.n : c.n / 2;
  // A guard past every row: nothing may be written there.
  const outStride = columns + 3;
  const out = new Float32Array(c.rows * outStride).fill(Number.NaN);
  const op = new DataView(new ArrayBuffer(layouts.Op.size));
  writeStruct(op, 0, layouts.Op, {
    run: entry.run,
    units: entry.units,
    grain: entry.grain,
    tag: 0,
  });
  writeStruct(op, layouts.Op.fields.args.offset, layouts.Linear, {
    x: addressOf(values),
    xScale: addressOf(scales),
    weight: weight.address,
    scale: c.scale ? addressOf(c.scale) : 0,
    bias: c.bias ? addressOf(c.bias) : 0,
    add: c.add ? addressOf(c.add) : 0,
    out: addressOf(out),
    xStride: stride,
    outStride,
    addStride: columns,
    n: c.n,
    k: c.k,
    group: c.group ?? 0,
    gate,
    multiplier: c.multiplier ?? 1,
    qBlock: c.qBlock ?? 0,
  });
  const step = new DataView(new ArrayBuffer(layouts.Step.size));
  writeStruct(step, 0, layouts.Step, { rows: c.rows, sequences: 1 });
  native.host.run(pool, addressOf(op), 1, addressOf(step));
  const result = new Float32Array(c.rows * columns);
  for (let r = 0; r < c.rows; r++) {
    const row = out.subarray(r * outStride, r * outStride + columns);
    result.set(row, r * columns);
    const guard = out.subarray(r * outStride + columns, (r + 1) * outStride);
    if (!guard.every(Number.isNaN)) throw new Error(`row ${r}: written past its end`);
  }
  return result;
}
