// Native decoders of storage formats agree with the Quantizers, and refuse invalid codes.
import { expect, test } from "bun:test";
import { addressOf, bytesView } from "../../core/native/memory.ts";
import type { Native } from "../../core/native/select.ts";
import formats from "../../plugins/formats/index.ts";
import { generator } from "../support/random.ts";
import { floats, trits } from "./cases.ts";
import { natives } from "./harness.ts";

/** Bytes of [n][k] packed to `layout` from a stored tensor (or from plain values), and the status. */
function pack(
  native: Native,
  layout: string,
  source: ArrayBufferView,
  n: number,
  k: number,
  unpack: number,
): { status: number; bytes: Uint8Array } {
  const entry = native.find("linear", layout)!;
  const size = native.host.packedBytes(entry, n, k);
  using region = native.host.alloc(size);
  using pool = native.host.createPool(2);
  const status = native.host.pack(pool, {
    source: addressOf(source),
    sourceBytes: source.byteLength,
    unpack,
    pack: entry.pack,
    out: region.address,
    n,
    k,
    blockStep: 1,
    float: /^t\d/.test(layout) ? 0 : 1,
    totalRows: n,
  });
  return { status, bytes: bytesView(region.address, size).slice() };
}

/** Every native unpack entry with the Quantizer of the same name. */
const pairs = [...natives].flatMap(([isa, native]) =>
  native.entries
    .filter((entry) => entry.op === "unpack")
    .map((entry) => {
      const quantizer = formats.quantizers?.find((q) => q.format === entry.format);
      return { isa, native, entry, quantizer };
    }),
);

/** Shapes that a format may hold: k a multiple of its block, rows of 4. */
const shapes = [
  [4, 256],
  [20, 256],
  [36, 768],
  [16, 100],
] as const;

for (const { isa, native, entry, quantizer } of pairs) {
  test(`${entry.format} on ${isa}`, () => {
    expect(quantizer).toBeDefined();
    if (!quantizer) return;
    let held = 0;
    for (const [n, k] of shapes) {
      const random = generator(n * k);
      try {
        quantizer.byteLength([n, k]);
      } catch {
        continue;
      }
      held++;
      if (quantizer.ternary) {
        const plain = trits(n * k, "random", random);
        // The first of every 32 is not zero, so that each group shows its scale.
        for (let i = 0; i < plain.length; i += 32) plain[i] = 1;
        const values = Float32Array.from(plain, (t) => t * 0.5);
        const { bytes } = quantizer.encode(values, [n, k]);
        const found = pack(native, "t2", bytes, n, k, entry.unpack);
        expect(found.status).toBe(0);
        expect(found.bytes).toEqual(pack(native, "t2", plain, n, k, 0).bytes);
      } else {
        const { bytes } = quantizer.encode(floats(n * k, random), [n, k]);
        const plain = quantizer.decode({ bytes }, [n, k]);
        const found = pack(native, "f32", bytes, n, k, entry.unpack);
        expect(found.bytes).toEqual(pack(native, "f32", plain, n, k, 0).bytes);
      }
    }
    expect(held).toBeGreaterThan(0);
  });

  if (/^(i2_s|hf-packed|sglang|tq2_0|iq2_bn|p?q2_0.*)$/.test(entry.format)) {
    test(`${entry.format} on ${isa} refuses the code that means nothing`, () => {
      if (!quantizer) return;
      const [n, k] = [16, 256];
      const { bytes } = quantizer.encode(new Float32Array(n * k).fill(0.5), [n, k]);
      const data = bytes.slice();
      // A byte of codes in the last row, past any scale that leads a row or a block.
      const at = entry.format === "i2_s" ? (n * k) / 4 - 5 : data.length - 10;
      data[at] = 0x3f;
      expect(pack(native, "t2", data, n, k, entry.unpack).status).toBe(1);
    });
  }
}
