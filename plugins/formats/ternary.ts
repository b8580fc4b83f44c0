// Builds a ternary Quantizer from an exact pack and unpack of trits; refusals they share.
import {
  type Quantizer,
  type Shape,
  type TensorData,
  type Trits,
  WrinkleFreeError,
} from "../../core/index.ts";

export interface TernaryFormat {
  readonly format: string;
  readonly ggufType?: number;
  /** Elements of a row that share a scale; undefined = a tensor's (an expert's); Infinity = a row's. */
  readonly group?: number;
  readonly separateScale?: boolean;
  /** Whether bytes may follow those that `byteLength` tells. */
  readonly padded?: boolean;
  byteLength(shape: Shape, parameters?: Readonly<Record<string, number>>): number;
  parameters?(shape: Shape): Readonly<Record<string, number>>;
  trits(data: TensorData, shape: Shape): Int8Array;
  scales(data: TensorData, shape: Shape): Float32Array;
  pack(weights: Trits, shape: Shape): TensorData;
}

export function elements(shape: Shape): number {
  let count = 1;
  for (const size of shape) count *= size;
  return count;
}

/** Length of the last dimension. */
export function columnsOf(shape: Shape): number {
  return shape[shape.length - 1] ?? 1;
}

/** How many weights share one scale of `group` in a tensor of `shape`. */
export function groupSize(shape: Shape, group: number | undefined): number {
  if (group === undefined) return shape.length > 2 ? elements(shape.slice(1)) : elements(shape);
  return group === Infinity ? columnsOf(shape) : group;
}

/** Throws `unsupported` unless rows are whole blocks of `block`. */
export function requireColumns(format: string, shape: Shape, block: number): void {
  const columns = columnsOf(shape);
  if (columns % block === 0 && elements(shape) > 0) return;
  throw new WrinkleFreeError(
    "unsupported",
    `${format} stores rows in blocks of ${block}; shape [${shape}] has rows of ${columns}`,
    { hint: "Choose another format for this model; hf-packed and f16 hold any row length." },
  );
}

/** Throws `bad_file` unless `data` holds exactly what the format needs for `shape`. */
export function requireBytes(format: string, data: TensorData, wanted: number): void {
  if (data.bytes.byteLength === wanted) return;
  throw new WrinkleFreeError(
    "bad_file",
    `${format}: ${data.bytes.byteLength} bytes where the shape needs ${wanted}`,
  );
}

export function badCode(format: string): never {
  throw new WrinkleFreeError(
    "bad_file",
    `${format}: a two-bit code 3, which no ternary weight has`,
    {
      hint: "The tensor is damaged, or is not in this layout.",
    },
  );
}

/** The stored scale times the companion's, one for each expert (or one). */
export function tensorScales(stored: number, data: TensorData, shape: Shape): Float32Array {
  const count = shape.length > 2 ? (shape[0] ?? 1) : 1;
  const scales = new Float32Array(count).fill(stored);
  const companion = data.scale;
  if (!companion) return scales;
  if (companion.length !== 1 && companion.length !== count) {
    throw new WrinkleFreeError("bad_file", `${companion.length} scales for ${count} matrices`);
  }
  for (let i = 0; i < count; i++) {
    scales[i] = stored * (companion[companion.length === 1 ? 0 : i] as number);
  }
  return scales;
}

/** Trits and scales of float values that are -scale, 0 or scale in each group. */
function tritsOf(format: string, values: Float32Array, size: number): Trits {
  const trits = new Int8Array(values.length);
  const scales = new Float32Array(Math.ceil(values.length / size));
  for (let group = 0; group < scales.length; group++) {
    const end = Math.min(values.length, (group + 1) * size);
    let scale = 0;
    for (let i = group * size; i < end; i++) {
      const magnitude = Math.abs(values[i] as number);
      if (magnitude > scale) scale = magnitude;
    }
    for (let i = group * size; i < end; i++) {
      const value = values[i] as number;
      if (value === 0) continue;
      if (value !== scale && value !== -scale) {
        throw new WrinkleFreeError("unsupported", `${format} holds -s, 0 and s; ${value} is not`, {
          hint: "Ternarize the weights first, or choose a float format.",
        });
      }
      trits[i] = value > 0 ? 1 : -1;
    }
    scales[group] = scale;
  }
  return { trits, scales };
}

function valuesOf({ trits, scales }: Trits, size: number): Float32Array {
  const values = new Float32Array(trits.length);
  for (let group = 0; group < scales.length; group++) {
    const scale = scales[group] as number;
    const end = Math.min(values.length, (group + 1) * size);
    for (let i = group * size; i < end; i++) {
      const trit = trits[i] as number;
      if (trit !== 0) values[i] = trit * scale;
    }
  }
  return values;
}

export function ternaryQuantizer(parts: TernaryFormat): Quantizer {
  const { format, ggufType, group, separateScale } = parts;
  const unpack = (data: TensorData, shape: Shape): Trits => {
    const wanted = parts.byteLength(shape, data.parameters);
    if (!parts.padded || data.bytes.byteLength < wanted) requireBytes(format, data, wanted);
    return { trits: parts.trits(data, shape), scales: parts.scales(data, shape) };
  };
  return {
    format,
    ggufType,
    ternary: { group, separateScale, unpack, pack: parts.pack },
    byteLength: parts.byteLength,
    parameters: parts.parameters,
    encode: (values, shape) => parts.pack(tritsOf(format, values, groupSize(shape, group)), shape),
    scales: (data, shape) => parts.scales(data, shape),
    decode: (data, shape) => valuesOf(unpack(data, shape), groupSize(shape, group)),
  };
}
