// Sherry: ternary weights with exactly one zero in every four, at 1.25 bits a weight.
import {
  definePlugin,
  type Kernel,
  type Plugin,
  type Quantizer,
  type Shape,
  WrinkleFreeError,
} from "wrinklefree";

/** Five bits for four weights: the zero's place (two bits), then the signs of the other three. */
const group = 4;
const bits = 5;
/** Columns that fill whole bytes. */
const step = 32;
const scaleBytes = 4;

const count = (shape: Shape) => shape.reduce((product, n) => product * n, 1);

/** The five bits of the four values from `at` on. Throws unless exactly one of them is zero. */
function codeOf(values: Float32Array, at: number): number {
  let zero = -1;
  let signs = 0;
  for (let i = 0, sign = 0; i < group; i++) {
    const value = values[at + i]!;
    if (value !== 0) signs |= (value < 0 ? 1 : 0) << sign++;
    else if (zero < 0) zero = i;
    else zero = group;
  }
  if (zero >= 0 && zero < group) return (zero << 3) | signs;
  throw new WrinkleFreeError(
    "unsupported",
    `sherry: weights ${at}..${at + group - 1} do not hold exactly one zero`,
    { hint: "the model must be trained 3:4 sparse; use another format for this one" },
  );
}

const sherry: Quantizer = {
  format: "sherry",
  ternary: {},
  byteLength(shape) {
    const columns = shape.at(-1) ?? 0;
    if (columns === 0 || columns % step !== 0) {
      throw new WrinkleFreeError("unsupported", `sherry: ${columns} columns, no multiple of 32`);
    }
    return (count(shape) / group) * (bits / 8) + scaleBytes;
  },
  encode(values, shape) {
    const bytes = new Uint8Array(sherry.byteLength(shape));
    const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    for (let g = 0; g < values.length / group; g++) {
      const at = g * bits;
      const code = codeOf(values, g * group) << (at % 8);
      bytes[at >> 3]! |= code;
      // The next byte exists: eight groups fill five bytes.
      if (code > 255) bytes[(at >> 3) + 1]! |= code >> 8;
    }
    new DataView(bytes.buffer).setFloat32(bytes.length - scaleBytes, scale, true);
    return { bytes };
  },
  decode({ bytes }, shape) {
    if (bytes.length < sherry.byteLength(shape)) {
      throw new WrinkleFreeError("bad_file", `sherry: ${bytes.length} bytes are too few`);
    }
    const [scale] = sherry.scales!({ bytes }, shape);
    const values = new Float32Array(count(shape));
    for (let g = 0; g < values.length / group; g++) {
      const at = g * bits;
      const code = ((bytes[at >> 3]! | (bytes[(at >> 3) + 1]! << 8)) >> (at % 8)) & 31;
      for (let i = 0, sign = 0; i < group; i++) {
        if (i === code >> 3) continue;
        values[g * group + i] = (code >> sign++) & 1 ? -scale! : scale!;
      }
    }
    return values;
  },
  scales({ bytes }, shape) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return Float32Array.of(view.getFloat32(sherry.byteLength(shape) - scaleBytes, true));
  },
};

/** Makes random weights that the format can hold; for tests. */
export function sparseValues(shape: Shape, scale: number, uniform: () => number): Float32Array {
  const values = Float32Array.from({ length: count(shape) }, () => (uniform() < 0.5 ? -1 : 1));
  for (let at = 0; at < values.length; at += group) values[at + Math.floor(uniform() * group)] = 0;
  return values.map((value) => value && value * scale);
}

const library = (isa: string) =>
  new URL(`./lib/${process.platform}-${process.arch}/sherry-${isa}`, import.meta.url);

const kernels: Kernel[] = [{ name: "sherry-generic", library: library("generic") }];
if (process.arch === "x64") {
  kernels.push({
    name: "sherry-avx512",
    library: library("avx512"),
    needs: ["avx512", "avx512vnni"],
  });
}

const plugin: Plugin = definePlugin({ name: "wrinklefree-sherry", quantizers: [sherry], kernels });
export default plugin;
