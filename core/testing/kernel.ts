// Conformance suite for Kernel plugins: compares a library's entries with `decode` of their formats.
import { WrinkleFreeError } from "../errors.ts";
import { Input } from "../native/abi.ts";
import type { Host } from "../native/host.ts";
import { type NativeEntry, openLibrary } from "../native/library.ts";
import { bytesView } from "../native/memory.ts";
import { openKernels } from "../native/select.ts";
import type { Kernel } from "../plugin/kernel.ts";
import type { Plugin } from "../plugin/plugin.ts";
import type { Quantizer } from "../plugin/quantizer.ts";
import { Registry } from "../registry.ts";
import { Random } from "../sampling/random.ts";
import { isLinear } from "../tape/kernels.ts";
import {
  expected,
  type LinearCase,
  makeInputs,
  packWeights,
  runLinear,
  untouched,
  type Weights,
} from "./linear.ts";
import type { MakeValues } from "./quantizer.ts";
import { checkUnpack } from "./unpack.ts";

export interface KernelTestOptions {
  /** The plugins that provide the formats and the runtime: [...standard, yours]. */
  readonly plugins: readonly Plugin[];
  /** Numbers of threads to run with. Default 1, 2, 3. */
  readonly threads?: readonly number[];
  /** Makes values of a ternary format that cannot hold every pattern; as for `testQuantizer`. */
  readonly values?: MakeValues;
}

/** What was compared, so that a test can insist on it. */
export interface KernelReport {
  readonly linear: readonly string[];
  readonly unpack: readonly string[];
  readonly comparisons: number;
}

/** Execution layouts of ternary weights; any other name of a linear is a storage format. */
const ternaryLayout = /^t\d/;
const odd: readonly (readonly [n: number, k: number])[] = [
  [16, 16],
  [32, 100],
  [96, 128],
  [48, 64],
  [32, 320],
  [64, 576],
  [160, 768],
  [32, 1000],
  [32, 1280],
];
/** Float32 roundings in a product, relative to the sum of its terms' absolute values. */
const tolerance = 4e-6;

/**
 * Checks every linear and unpack entry of a kernel library: against float64 arithmetic on what the
 * format's `decode` gives, on odd shapes, with gates, bias, residual and multiplier; equal bits for
 * every number of threads and for a row alone or among others; nothing written outside the output.
 * Throws `plugin` naming the entry and the first case that differs, `unsupported` where this CPU
 * cannot run the library.
 */
export function testKernel(kernel: Kernel, options: KernelTestOptions): KernelReport {
  const registry = new Registry(options.plugins);
  const others = registry.kernels.filter((other) => other.name !== kernel.name);
  const native = openKernels([...others, kernel], {});
  const library = openLibrary(kernel.library);
  const own = native.libraries.includes(library);
  if (!own && library.host === 0) {
    throw new WrinkleFreeError(
      "unsupported",
      `kernel ${kernel.name}: this CPU lacks what it needs`,
      {
        hint: `needs: ${(kernel.needs ?? []).join(", ")}`,
      },
    );
  }
  // Without a pack an entry runs on the rows of a mapped file; the suite tests packed layouts.
  const linear = library.entries.filter(isLinear);
  const unpack = library.entries.filter((entry) => entry.op === "unpack");
  if (linear.length + unpack.length === 0) {
    throw new WrinkleFreeError("plugin", `kernel ${kernel.name}: it has no linear and no unpack`);
  }
  const test: Test = {
    values: options.values,
    kernel: kernel.name,
    host: native.host,
    registry,
    threads: options.threads ?? [1, 2, 3],
    comparisons: 0,
  };
  for (const entry of linear) checkLinear(test, entry);
  for (const entry of unpack) {
    const format = registry.quantizer(entry.format);
    test.comparisons += checkUnpack(native, entry, format, test, (what) => fail(test, entry, what));
  }
  const formats = (entries: readonly NativeEntry[]) => entries.map((entry) => entry.format);
  return { linear: formats(linear), unpack: formats(unpack), comparisons: test.comparisons };
}

interface Test {
  readonly values: MakeValues | undefined;
  readonly kernel: string;
  readonly host: Host;
  readonly registry: Registry;
  readonly threads: readonly number[];
  comparisons: number;
}

function fail(test: Test, entry: NativeEntry, what: string): never {
  const name = `${test.kernel}: ${entry.op} ${entry.format} (${entry.isa})`;
  throw new WrinkleFreeError("plugin", `kernel ${name}: ${what}`);
}

function checkLinear(test: Test, entry: NativeEntry): void {
  const layout = ternaryLayout.test(entry.format);
  const quantizer = layout ? undefined : test.registry.quantizer(entry.format);
  const random = new Random(7);
  let shapes = 0;
  for (const [n, k] of odd) {
    if (quantizer && !fits(quantizer, n, k)) continue;
    shapes++;
    const groups = layout && k % 64 === 0 ? [0, 64] : [0];
    for (const group of groups) {
      const weights = quantizer
        ? storedWeights(quantizer, n, k, random, test.values)
        : ternaryWeights(n, k, group, random);
      checkWeights(test, entry, weights, random);
    }
  }
  if (shapes === 0) fail(test, entry, `no test shape fits the format ${entry.format}`);
}

function fits(quantizer: Quantizer, n: number, k: number): boolean {
  try {
    return quantizer.byteLength([n, k]) > 0;
  } catch {
    return false;
  }
}

function ternaryWeights(n: number, k: number, group: number, random: Random): Weights {
  const values = Int8Array.from({ length: n * k }, () => (random.uint32() % 3) - 1);
  values.fill(1, 0, k);
  values.fill(-1, k, 2 * k);
  const perRow = group === 0 ? 1 : k / group;
  const scales = Float32Array.from({ length: n * perRow }, () => 0.01 + random.double());
  return { n, k, values, scales, group };
}

/** Weights as the format's `decode` gives them: trits and scales of a ternary one, else floats. */
function storedWeights(
  quantizer: Quantizer,
  n: number,
  k: number,
  random: Random,
  make: MakeValues | undefined,
): Weights {
  const shape = [n, k];
  const dense = Float32Array.from({ length: n * k }, () => random.double() * 2 - 1);
  if (!quantizer.ternary) {
    const values = quantizer.decode(quantizer.encode(dense, shape), shape);
    return { n, k, values, scales: new Float32Array(0), group: 0 };
  }
  const trits =
    make?.(shape, 0.5, () => random.double()) ?? dense.map((value) => Math.round(value) * 0.5);
  const values = quantizer.decode(quantizer.encode(trits, shape), shape);
  const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const scales = new Float32Array(n).fill(scale);
  return { n, k, values: Int8Array.from(values, Math.sign), scales, group: 0 };
}

const cases: readonly Omit<LinearCase, "block">[] = [
  { rows: 1, gated: false, bias: false, add: false, multiplier: 1, extreme: true },
  { rows: 3, gated: false, bias: true, add: true, multiplier: 0.375, extreme: false },
  { rows: 37, gated: false, bias: false, add: true, multiplier: 1, extreme: false },
  { rows: 2, gated: true, bias: true, add: false, multiplier: 1, extreme: false },
  { rows: 18, gated: true, bias: false, add: true, multiplier: 1.5, extreme: false },
];

function checkWeights(test: Test, entry: NativeEntry, weights: Weights, random: Random): void {
  const pools = test.threads.map((threads) => test.host.createPool(threads));
  const packed = pools.map((pool) => packWeights(test.host, pool, entry, weights));
  try {
    const first = packed[0]!;
    const shape = `[${weights.n}, ${weights.k}]`;
    if (packed.some(({ overrun }) => overrun)) {
      fail(test, entry, `pack of ${shape} writes past its packed_bytes`);
    }
    const bytes = packed.map(({ region }) => bytesView(region.address, first.bytes));
    if (bytes.some((other) => !same(bytes[0]!, other))) {
      fail(test, entry, `pack of ${shape} depends on the number of threads`);
    }
    const block = entry.input === Input.i8Block ? 64 : 0;
    for (const sample of cases) {
      if (sample.gated && weights.n % 32 !== 0) continue;
      const one = { ...sample, block };
      const inputs = makeInputs(entry, weights, one, random);
      const run = (pool: number, from?: number, count?: number) => {
        const at = first.region.address;
        return runLinear(test.host, pools[pool]!, entry, weights, at, inputs, one, from, count);
      };
      const out = run(0);
      const where = `${shape}, group ${weights.group}, ${JSON.stringify(one)}`;
      compare(test, entry, weights, inputs, one, out, where);
      for (let i = 1; i < pools.length; i++) {
        if (!same(out, run(i))) {
          fail(test, entry, `${test.threads[i]} threads give other bits than one (${where})`);
        }
      }
      const last = one.rows - 1;
      const stride = out.length / one.rows;
      if (!same(out.subarray(last * stride), run(0, last, 1))) {
        fail(test, entry, `a row alone gives other bits than among ${one.rows} (${where})`);
      }
    }
  } finally {
    for (const { region } of packed) region[Symbol.dispose]();
    for (const pool of pools) pool[Symbol.dispose]();
  }
}

function compare(
  test: Test,
  entry: NativeEntry,
  weights: Weights,
  inputs: ReturnType<typeof makeInputs>,
  one: LinearCase,
  out: Float32Array,
  where: string,
): void {
  const stride = out.length / one.rows;
  const columns = one.gated ? weights.n / 2 : weights.n;
  const outside = Math.fround(untouched);
  for (let r = 0; r < one.rows; r++) {
    // All columns of the first and last row, a diagonal of the others: float64 in script is slow.
    const every = r === 0 || r === one.rows - 1 ? 1 : 7;
    for (let c = r % every; c < columns; c += every) {
      const actual = out[r * stride + c]!;
      const { value, size } = expected(weights, inputs, one, r, c);
      test.comparisons++;
      if (Math.abs(actual - value) <= tolerance * size) continue;
      fail(test, entry, `row ${r}, column ${c} is ${actual}, decode gives ${value} (${where})`);
    }
    for (let c = columns; c < stride; c++) {
      if (out[r * stride + c] === outside) continue;
      fail(test, entry, `row ${r} is written past its ${columns} columns (${where})`);
    }
  }
}

function same(a: Uint8Array | Float32Array, b: Uint8Array | Float32Array): boolean {
  const bytes = (array: typeof a) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);
  return bytes(a).equals(bytes(b));
}
