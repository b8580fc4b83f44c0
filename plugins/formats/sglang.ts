// sglang: SGLang-BitNet's uint8 [out, in/4]; each row in blocks of 128 as in i2_s, the scale apart.
import type { Quantizer } from "../../core/index.ts";
import { packLanes, unpackLanes } from "./bits.ts";
import { elements, requireColumns, tensorScales, ternaryQuantizer } from "./ternary.ts";

export const sglang: Quantizer = ternaryQuantizer({
  format: "sglang",
  separateScale: true,
  byteLength(shape) {
    requireColumns("sglang", shape, 128);
    return elements(shape) / 4;
  },
  scales: (data, shape) => tensorScales(1, data, shape),
  trits(data, shape) {
    const count = elements(shape);
    const trits = new Int8Array(count);
    unpackLanes("sglang", data.bytes, 0, trits, 0, count / 128, 32, true);
    return trits;
  },
  pack({ trits, scales }, shape) {
    requireColumns("sglang", shape, 128);
    const bytes = new Uint8Array(trits.length / 4);
    packLanes(trits, 0, bytes, 0, trits.length / 128, 32, true);
    return { bytes, scale: scales.slice() };
  },
});
