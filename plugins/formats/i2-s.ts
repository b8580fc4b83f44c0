// i2_s: bitnet.cpp's two-bit format; 128 weights in 32 bytes, one float32 scale behind all of them.
import type { Quantizer } from "../../core/index.ts";
import { packLanes, readFloat, unpackLanes, writeFloat } from "./bits.ts";
import { elements, requireColumns, tensorScales, ternaryQuantizer } from "./ternary.ts";

/** Scale (4 bytes) and padding after the codes. */
const tail = 32;

export const i2_s: Quantizer = ternaryQuantizer({
  format: "i2_s",
  ggufType: 36,
  byteLength(shape) {
    requireColumns("i2_s", shape, 128);
    return elements(shape) / 4 + tail;
  },
  scales: (data, shape) => tensorScales(readFloat(data.bytes, elements(shape) / 4), data, shape),
  trits(data, shape) {
    const count = elements(shape);
    const trits = new Int8Array(count);
    unpackLanes("i2_s", data.bytes, 0, trits, 0, count / 128, 32, true);
    return trits;
  },
  pack({ trits, scales }, shape) {
    requireColumns("i2_s", shape, 128);
    const bytes = new Uint8Array(trits.length / 4 + tail);
    packLanes(trits, 0, bytes, 0, trits.length / 128, 32, true);
    // One scale fits; the scales of stacked experts go to a companion tensor.
    const single = scales.length === 1;
    writeFloat(bytes, trits.length / 4, single ? (scales[0] as number) : 1);
    return single ? { bytes } : { bytes, scale: scales };
  },
});
