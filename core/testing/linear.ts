// Runs one linear op of a kernel library on a made-up case, and computes what it should give.
import { argsBytes, blockRows, Input, layouts } from "../native/abi.ts";
import type { Host, Pool } from "../native/host.ts";
import type { NativeEntry } from "../native/library.ts";
import { bytesView, floatView, type Region } from "../native/memory.ts";
import { writeStruct } from "../native/struct.ts";
import type { Random } from "../sampling/random.ts";

/** A weight matrix [n][k]: n a multiple of 16. Weights are trits, or floats where scales is empty. */
export interface Weights {
  readonly n: number;
  readonly k: number;
  readonly values: Int8Array | Float32Array;
  /** [n], or [n][k / group]. */
  readonly scales: Float32Array;
  /** 0: one scale a row. */
  readonly group: number;
}

/** What surrounds the product in one case. */
export interface LinearCase {
  readonly rows: number;
  readonly gated: boolean;
  readonly bias: boolean;
  readonly add: boolean;
  readonly multiplier: number;
  /** Columns that share an activation scale; 0: the whole row. */
  readonly block: number;
  /** Every activation is 127 (or 1), every trit as given: the largest sums. */
  readonly extreme: boolean;
}

/** Activations, bias and residual of a case. */
export interface Inputs {
  /** [rows][stride] int8 or float32. */
  readonly x: Int8Array | Float32Array;
  readonly stride: number;
  /** [rows][blocks] factor of each activation; all ones for float32. */
  readonly inverse: Float32Array;
  readonly bias: Float32Array;
  readonly add: Float32Array;
}

const int8Stride = 64;
/** Unused columns after each output row: an op must leave them alone. */
const margin = 16;
export const untouched = 12345.678;

export function makeInputs(
  entry: NativeEntry,
  weights: Weights,
  test: LinearCase,
  random: Random,
): Inputs {
  const { n, k } = weights;
  const float = entry.input === Input.f32;
  const stride = float ? k : Math.ceil(k / int8Stride) * int8Stride;
  const x = new (float ? Float32Array : Int8Array)(test.rows * stride);
  for (let r = 0; r < test.rows; r++) {
    for (let i = 0; i < k; i++) {
      const uniform = random.double() * 2 - 1;
      x[r * stride + i] = test.extreme ? (float ? 1 : 127) : float ? uniform : uniform * 127.9;
    }
  }
  const blocks = test.block === 0 ? 1 : Math.ceil(k / test.block);
  const inverse = new Float32Array(test.rows * blocks);
  for (let i = 0; i < inverse.length; i++) inverse[i] = float ? 1 : 0.001 + random.double() * 0.05;
  const columns = test.gated ? n / 2 : n;
  const noise = (length: number) => Float32Array.from({ length }, () => random.double() * 2 - 1);
  return { x, stride, inverse, bias: noise(n), add: noise(test.rows * columns) };
}

/** Native memory of one run, freed together. */
class Arena {
  readonly #host: Host;
  readonly #regions: Region[] = [];

  constructor(host: Host) {
    this.#host = host;
  }

  take(bytes: number): number {
    const region = this.#host.alloc(bytes);
    this.#regions.push(region);
    return region.address;
  }

  copy(array: Int8Array | Float32Array | Uint32Array | Uint8Array): number {
    const address = this.take(Math.max(array.byteLength, 4));
    if (array.byteLength > 0) {
      const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
      bytesView(address, array.byteLength).set(bytes);
    }
    return address;
  }

  [Symbol.dispose](): void {
    for (const region of this.#regions) region[Symbol.dispose]();
  }
}

/** Packs the weights as the engine does; [0, extra) bytes after them must stay zero. */
export function packWeights(
  host: Host,
  pool: Pool,
  entry: NativeEntry,
  weights: Weights,
): { region: Region; bytes: number; overrun: boolean } {
  const { n, k } = weights;
  const bytes = host.packedBytes(entry, n, k);
  const region = host.alloc(bytes + 4096);
  using arena = new Arena(host);
  const job = { pack: entry.pack, out: region.address, n, k, totalRows: n, blockStep: 1 };
  const float = weights.values instanceof Float32Array ? 1 : 0;
  const source = arena.copy(weights.values);
  host.pack(pool, { ...job, source, sourceBytes: weights.values.byteLength, float });
  const overrun = bytesView(region.address + bytes, 4096).some((byte) => byte !== 0);
  return { region, bytes, overrun };
}

/** Runs rows `first`..`first + count - 1` of a case. Returns [count][columns + margin]. */
export function runLinear(
  host: Host,
  pool: Pool,
  entry: NativeEntry,
  weights: Weights,
  packed: number,
  inputs: Inputs,
  test: LinearCase,
  first = 0,
  count = test.rows,
): Float32Array {
  using arena = new Arena(host);
  const columns = test.gated ? weights.n / 2 : weights.n;
  const outStride = columns + margin;
  const out = arena.take(count * outStride * 4);
  floatView(out, count * outStride).fill(untouched);
  const x = inputs.x.subarray(first * inputs.stride, (first + count) * inputs.stride);
  const float = entry.input === Input.f32;
  const op = new DataView(new ArrayBuffer(layouts.Op.size));
  const { run, units, grain } = entry;
  writeStruct(op, 0, layouts.Op, { run, units, grain });
  writeStruct(op, layouts.Op.size - argsBytes, layouts.Linear, {
    x: arena.copy(x),
    xScale: float ? 0 : arena.copy(rowScales(inputs, weights.k, test, first, count)),
    weight: packed,
    scale: weights.scales.length === 0 ? 0 : arena.copy(weights.scales),
    bias: test.bias ? arena.copy(inputs.bias) : 0,
    add: test.add ? arena.copy(inputs.add.subarray(first * columns, (first + count) * columns)) : 0,
    out,
    xStride: inputs.stride,
    outStride,
    addStride: columns,
    n: weights.n,
    k: weights.k,
    group: weights.group,
    gate: test.gated ? 1 : 0,
    multiplier: test.multiplier,
    qBlock: test.block,
  });
  const step = new DataView(new ArrayBuffer(layouts.Step.size));
  writeStruct(step, 0, layouts.Step, { rows: count, sequences: 1 });
  const ops = arena.copy(new Uint8Array(op.buffer));
  host.run(pool, ops, 1, arena.copy(new Uint8Array(step.buffer)));
  return floatView(out, count * outStride).slice();
}

/** RowScale[count][blocks]: the factor and the sum of the activations of each block. */
function rowScales(
  inputs: Inputs,
  k: number,
  test: LinearCase,
  first: number,
  count: number,
): Uint8Array {
  const width = test.block === 0 ? k : test.block;
  const blocks = Math.ceil(k / width);
  const view = new DataView(new ArrayBuffer(count * blocks * layouts.RowScale.size));
  for (let r = 0; r < count; r++) {
    for (let b = 0; b < blocks; b++) {
      let sum = 0;
      for (let i = b * width; i < Math.min(k, (b + 1) * width); i++) {
        sum += inputs.x[(first + r) * inputs.stride + i]!;
      }
      const inverse = inputs.inverse[(first + r) * blocks + b]!;
      writeStruct(view, (r * blocks + b) * layouts.RowScale.size, layouts.RowScale, {
        inverse,
        sum,
      });
    }
  }
  return new Uint8Array(view.buffer);
}

/** A value in float64 and the sum of its terms' absolute values, which bounds rounding errors. */
interface Bounded {
  readonly value: number;
  readonly size: number;
}

function product(
  weights: Weights,
  inputs: Inputs,
  test: LinearCase,
  r: number,
  j: number,
): Bounded {
  const { k, group, scales } = weights;
  const width = test.block === 0 ? k : test.block;
  const blocks = Math.ceil(k / width);
  const perRow = group === 0 ? 1 : Math.ceil(k / group);
  let value = 0;
  let size = 0;
  for (let begin = 0, end = 0; begin < k; begin = end) {
    // Where neither factor changes, integer sums are exact.
    end = Math.min(k, begin + (group || k), begin + width);
    const scale =
      scales.length === 0 ? 1 : scales[j * perRow + (group && Math.floor(begin / group))]!;
    const factor = scale * inputs.inverse[r * blocks + Math.floor(begin / width)]!;
    let sum = 0;
    let sizes = 0;
    for (let i = begin; i < end; i++) {
      const term = weights.values[j * k + i]! * inputs.x[r * inputs.stride + i]!;
      sum += term;
      sizes += Math.abs(term);
    }
    value += sum * factor;
    size += Math.abs(factor) * (scales.length === 0 ? sizes : Math.abs(sum));
  }
  value *= test.multiplier;
  size *= Math.abs(test.multiplier);
  if (!test.bias) return { value, size };
  return { value: value + inputs.bias[j]!, size: size + Math.abs(inputs.bias[j]!) };
}

/** What row r, column c should be. */
export function expected(
  weights: Weights,
  inputs: Inputs,
  test: LinearCase,
  r: number,
  c: number,
): Bounded {
  const columns = test.gated ? weights.n / 2 : weights.n;
  const block = Math.floor(c / blockRows) * 2 * blockRows + (c % blockRows);
  let { value, size } = product(weights, inputs, test, r, test.gated ? block : c);
  if (test.gated) {
    const up = product(weights, inputs, test, r, block + blockRows);
    value = Math.max(0, value) ** 2 * up.value;
    size = size ** 2 * up.size;
  }
  if (!test.add) return { value, size };
  const add = inputs.add[r * columns + c]!;
  return { value: value + add, size: size + Math.abs(add) };
}
