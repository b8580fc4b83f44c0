// Conformance suite for Quantizer plugins.
import { WrinkleFreeError } from "../errors.ts";
import type { Quantizer, Shape, TensorData } from "../plugin/quantizer.ts";
import { Random } from "../sampling/random.ts";

export interface QuantizerTestOptions {
  /** Shapes to try beside the standard ones; those that `byteLength` refuses are passed over. */
  readonly shapes?: readonly Shape[];
  /**
   * Largest error of a format that is not ternary, for values between -1 and 1. Default 0.13: the step
   * of a four-bit format.
   */
  readonly tolerance?: number;
  /**
   * Makes random values of a ternary format that cannot hold every pattern (a sparse one): each is
   * 0, `scale` or -`scale`; `uniform` gives numbers in [0, 1).
   */
  readonly values?: MakeValues;
}

export type MakeValues = (shape: Shape, scale: number, uniform: () => number) => Float32Array;

const standardShapes: readonly Shape[] = [
  [4, 32],
  [4, 64],
  [32, 128],
  [16, 256],
  [64, 256],
  [256, 256],
  [32, 768],
  [64, 96],
  [128, 288],
  [8, 576],
  [36, 1024],
  [12, 20],
  [2, 16, 128],
  [3, 32, 256],
  [256],
  [7],
];

/** Scales that float16 and bfloat16 both hold exactly. */
const scales = [0.5, 1, 0.0078125, 1.5, 40];

/**
 * Checks that a format keeps its interface: sizes agree with the bytes, decode gives back what encode
 * took (exactly for ternary formats, within `tolerance` for others), a view at an odd address decodes
 * the same, truncated data and impossible shapes are refused with WrinkleFreeError, inputs stay as
 * they were. Throws `plugin` naming the first violation.
 */
export function testQuantizer(quantizer: Quantizer, options: QuantizerTestOptions = {}): void {
  const fail = (what: string): never => {
    throw new WrinkleFreeError("plugin", `format "${quantizer.format}": ${what}`);
  };
  if (!/^[a-z0-9][a-z0-9_-]*$/.test(quantizer.format)) fail("the name is not lower-case");
  const type = quantizer.ggufType;
  if (type !== undefined && !(Number.isInteger(type) && type >= 0)) fail("ggufType is no id");
  const random = new Random(7);
  const uniform = () => random.double();
  const make = options.values ?? ternaryValues;
  let fitting = 0;
  for (const shape of [...standardShapes, ...(options.shapes ?? [])]) {
    if (!accepts(quantizer, shape, fail)) continue;
    fitting++;
    for (const scale of quantizer.ternary ? scales : [1]) {
      const values = quantizer.ternary ? make(shape, scale, uniform) : floatValues(shape, random);
      checkRoundTrip(quantizer, shape, values, options.tolerance ?? 0.13, fail);
    }
    if (quantizer.ternary) checkTrits(quantizer, shape, make(shape, 0.75, uniform), fail);
  }
  if (fitting === 0) fail("it accepts none of the shapes tried");
}

type Fail = (what: string) => never;

function count(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

function accepts(quantizer: Quantizer, shape: Shape, fail: Fail): boolean {
  try {
    const bytes = quantizer.byteLength(shape);
    if (!(Number.isSafeInteger(bytes) && bytes > 0)) fail(`byteLength([${shape}]) is ${bytes}`);
    return true;
  } catch (error) {
    if (error instanceof WrinkleFreeError && error.code === "plugin") throw error;
    if (error instanceof WrinkleFreeError && error.code === "unsupported") return false;
    return fail(`byteLength([${shape}]) throws something else than "unsupported": ${error}`);
  }
}

function ternaryValues(shape: Shape, scale: number, uniform: () => number): Float32Array {
  // A first value other than 0 in each run of 16, so that every group states its scale.
  return Float32Array.from({ length: count(shape) }, (_, i) => {
    const trit = i % 16 === 0 ? (uniform() < 0.5 ? -1 : 1) : Math.floor(uniform() * 3) - 1;
    return trit === 0 ? 0 : trit * scale;
  });
}

function floatValues(shape: Shape, random: Random): Float32Array {
  return Float32Array.from({ length: count(shape) }, () => (random.double() - 0.5) * 2);
}

function checkRoundTrip(
  quantizer: Quantizer,
  shape: Shape,
  values: Float32Array,
  tolerance: number,
  fail: Fail,
): void {
  const before = values.slice();
  const data = quantizer.encode(values, shape);
  if (!values.every((value, i) => value === before[i])) fail("encode changes its input");
  const wanted = quantizer.byteLength(shape, data.parameters);
  if (data.bytes.byteLength !== wanted) {
    fail(`encode gives ${data.bytes.byteLength} bytes for [${shape}], byteLength says ${wanted}`);
  }
  if (quantizer.ternary?.separateScale && !data.scale)
    fail("separateScale, but no scale comes back");
  const decoded = quantizer.decode(data, shape);
  if (decoded.length !== values.length)
    fail(`decode gives ${decoded.length} values for [${shape}]`);
  const allowed = quantizer.ternary ? 0 : tolerance;
  for (let i = 0; i < values.length; i++) {
    const error = Math.abs((decoded[i] as number) - (values[i] as number));
    if (error <= allowed) continue;
    fail(`[${shape}]: value ${i} was ${values[i]}, decodes to ${decoded[i]}`);
  }
  checkOddAddress(quantizer, shape, data, decoded, fail);
  checkTruncated(quantizer, shape, data, fail);
}

/** Mapped files place tensors anywhere: views need not be aligned. */
function checkOddAddress(
  quantizer: Quantizer,
  shape: Shape,
  data: TensorData,
  decoded: Float32Array,
  fail: Fail,
): void {
  const moved = new Uint8Array(data.bytes.byteLength + 1).subarray(1);
  moved.set(data.bytes);
  const again = quantizer.decode({ ...data, bytes: moved }, shape);
  if (!again.every((value, i) => Object.is(value, decoded[i]))) {
    fail(`[${shape}]: bytes at an odd address decode to other values`);
  }
}

function checkTruncated(quantizer: Quantizer, shape: Shape, data: TensorData, fail: Fail): void {
  const bytes = data.bytes.subarray(0, data.bytes.byteLength - 1);
  try {
    quantizer.decode({ ...data, bytes }, shape);
  } catch (error) {
    if (error instanceof WrinkleFreeError) return;
    fail(`truncated data throws something else than a WrinkleFreeError: ${error}`);
  }
  fail(`[${shape}]: data that misses its last byte is decoded`);
}

/** `unpack`, `pack` and `scales` must say the same as `decode`. */
function checkTrits(quantizer: Quantizer, shape: Shape, values: Float32Array, fail: Fail): void {
  const data = quantizer.encode(values, shape);
  const unpacked = quantizer.ternary?.unpack?.(data, shape);
  if (!unpacked) return;
  const size = values.length / unpacked.scales.length;
  for (let i = 0; i < values.length; i++) {
    const value = (unpacked.trits[i] as number) * (unpacked.scales[Math.floor(i / size)] as number);
    if (value !== values[i]) fail(`[${shape}]: unpack gives ${value}, decode ${values[i]}`);
  }
  const stated = quantizer.scales?.(data, shape);
  if (stated && !stated.every((scale, i) => scale === unpacked.scales[i])) {
    fail(`[${shape}]: scales differ from those that unpack gives`);
  }
  const packed = quantizer.ternary?.pack?.(unpacked, shape);
  if (packed && Buffer.compare(packed.bytes, data.bytes) !== 0) {
    fail(`[${shape}]: pack gives other bytes than encode`);
  }
}
