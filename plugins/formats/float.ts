// f32, f16 and bf16: values as they are, little endian.
import type { Quantizer } from "../../core/index.ts";
import { alignedBuffer } from "./bits.ts";
import { elements, requireBytes } from "./ternary.ts";

export const f32: Quantizer = {
  format: "f32",
  ggufType: 0,
  byteLength: (shape) => 4 * elements(shape),
  encode: (values) => ({
    bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice(),
  }),
  decode(data, shape) {
    requireBytes("f32", data, 4 * elements(shape));
    return new Float32Array(...alignedBuffer(data.bytes, 4), elements(shape)).slice();
  },
};

export const f16: Quantizer = {
  format: "f16",
  ggufType: 1,
  byteLength: (shape) => 2 * elements(shape),
  encode: (values) => ({ bytes: new Uint8Array(new Float16Array(values).buffer) }),
  decode(data, shape) {
    requireBytes("f16", data, 2 * elements(shape));
    return new Float32Array(new Float16Array(...alignedBuffer(data.bytes, 2), elements(shape)));
  },
};

export const bf16: Quantizer = {
  format: "bf16",
  ggufType: 30,
  byteLength: (shape) => 2 * elements(shape),
  encode(values) {
    const bits = new Uint32Array(...alignedFloats(values));
    const halves = new Uint16Array(bits.length);
    for (let i = 0; i < bits.length; i++) {
      const word = bits[i] as number;
      // Round to nearest even; NaN stays NaN (quiet), as in every bfloat16 library.
      const notNumber = (word & 0x7fffffff) > 0x7f800000;
      halves[i] = notNumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
    }
    return { bytes: new Uint8Array(halves.buffer) };
  },
  decode(data, shape) {
    const count = elements(shape);
    requireBytes("bf16", data, 2 * count);
    const halves = new Uint16Array(...alignedBuffer(data.bytes, 2), count);
    const values = new Float32Array(count);
    const bits = new Uint32Array(values.buffer);
    for (let i = 0; i < count; i++) bits[i] = (halves[i] as number) << 16;
    return values;
  },
};

function alignedFloats(values: Float32Array): [ArrayBuffer, number, number] {
  return [values.buffer as ArrayBuffer, values.byteOffset, values.length];
}
