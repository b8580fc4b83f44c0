// q6_k: blocks of 256 six-bit weights, 16 byte scales and one float16 scale over them (ggml).
import type { Quantizer } from "../../core/index.ts";
import { readHalf, writeHalf } from "./bits.ts";
import { elements, requireBytes, requireColumns } from "./ternary.ts";

const block = 256;
const blockBytes = 210;
/** Offsets in a block: low nibbles, high bit pairs, scales, float16 scale. */
const highAt = 128;
const scalesAt = 192;
const scaleAt = 208;

function byteLength(shape: readonly number[]): number {
  requireColumns("q6_k", shape, block);
  return (elements(shape) / block) * blockBytes;
}

/** Adding and subtracting this rounds a double below 2^51 to a whole number. */
const rounding = 2 ** 52 + 2 ** 51;

/** Rounds and clamps to the code's range. */
function code(value: number): number {
  const rounded = value + rounding - rounding;
  return rounded < -32 ? -32 : Math.min(31, rounded);
}

/** Scale of 16 weights that minimizes the squared error weighted by x^2, over 19 candidates (ggml). */
function bestScale(values: Float32Array, from: number): number {
  let extreme = 0;
  for (let i = from; i < from + 16; i++) {
    const value = values[i] as number;
    if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  }
  if (Math.abs(extreme) < 1e-15) return 0;
  let best = 0;
  let scale = 0;
  for (let step = -9; step <= 9; step++) {
    const inverse = -(32 + 0.1 * step) / extreme;
    let cross = 0;
    let squares = 0;
    for (let i = from; i < from + 16; i++) {
      const value = values[i] as number;
      const weight = value * value;
      const quantized = code(inverse * value);
      cross += weight * value * quantized;
      squares += weight * quantized * quantized;
    }
    if (squares > 0 && cross * cross > best * squares) {
      scale = cross / squares;
      best = scale * cross;
    }
  }
  return scale;
}

function encodeBlock(values: Float32Array, from: number, bytes: Uint8Array, to: number): void {
  const scales = new Float32Array(16);
  let extreme = 0;
  for (let i = 0; i < 16; i++) {
    const scale = bestScale(values, from + 16 * i);
    scales[i] = scale;
    if (Math.abs(scale) > Math.abs(extreme)) extreme = scale;
  }
  if (extreme === 0) return;
  const inverse = -128 / extreme;
  writeHalf(bytes, to + scaleAt, 1 / inverse);
  const whole = readHalf(bytes, to + scaleAt);
  for (let i = 0; i < 16; i++) {
    const scaled = Math.min(127, Math.round(inverse * (scales[i] as number)));
    bytes[to + scalesAt + i] = scaled;
    const step = whole * scaled;
    for (let j = 16 * i; j < 16 * i + 16; j++) {
      const quantized = step === 0 ? 32 : code((values[from + j] as number) / step) + 32;
      const half = j >> 7;
      const quarter = (j & 127) >> 5;
      const lane = j & 31;
      const low = to + 64 * half + 32 * (quarter & 1) + lane;
      bytes[low] = (bytes[low] as number) | ((quantized & 15) << (quarter >= 2 ? 4 : 0));
      const high = to + highAt + 32 * half + lane;
      bytes[high] = (bytes[high] as number) | ((quantized >> 4) << (2 * quarter));
    }
  }
}

function decodeBlock(bytes: Uint8Array, from: number, values: Float32Array, to: number): void {
  const whole = readHalf(bytes, from + scaleAt);
  for (let group = 0; group < 16; group++) {
    const scale = Math.fround(whole * (((bytes[from + scalesAt + group] as number) << 24) >> 24));
    const half = group >> 3;
    const quarter = (group & 7) >> 1;
    const lane = 16 * (group & 1);
    const low = from + 64 * half + 32 * (quarter & 1) + lane;
    const high = from + highAt + 32 * half + lane;
    const shift = quarter >= 2 ? 4 : 0;
    for (let i = 0; i < 16; i++) {
      const nibble = ((bytes[low + i] as number) >> shift) & 15;
      const pair = ((bytes[high + i] as number) >> (2 * quarter)) & 3;
      values[to + 16 * group + i] = scale * ((nibble | (pair << 4)) - 32);
    }
  }
}

export const q6_k: Quantizer = {
  format: "q6_k",
  ggufType: 14,
  byteLength,
  encode(values, shape) {
    const bytes = new Uint8Array(byteLength(shape));
    for (let i = 0; i < values.length / block; i++) {
      encodeBlock(values, i * block, bytes, i * blockBytes);
    }
    return { bytes };
  },
  decode(data, shape) {
    requireBytes("q6_k", data, byteLength(shape));
    const values = new Float32Array(elements(shape));
    for (let i = 0; i < values.length / block; i++) {
      decodeBlock(data.bytes, i * blockBytes, values, i * block);
    }
    return values;
  },
};
