// Compares a native unpack of a storage format with the format's `decode`, through what is packed.
import type { NativeEntry } from "../native/library.ts";
import { addressOf, bytesView } from "../native/memory.ts";
import type { Native } from "../native/select.ts";
import type { Quantizer } from "../plugin/quantizer.ts";
import { Random } from "../sampling/random.ts";
import type { MakeValues } from "./quantizer.ts";

const shapes: readonly (readonly [rows: number, k: number])[] = [
  [4, 128],
  [16, 256],
  [20, 256],
  [36, 512],
  [4, 576],
  [12, 768],
  [8, 1280],
];

/**
 * Packs random weights from their stored bytes, and from the decoded values: both must give the
 * same bytes for every number of threads. Returns the number of shapes compared; calls `fail`
 * (which does not return) for the first that differs, or where none of the shapes fits the format.
 */
export function checkUnpack(
  native: Native,
  entry: NativeEntry,
  quantizer: Quantizer,
  options: { readonly threads: readonly number[]; readonly values: MakeValues | undefined },
  fail: (what: string) => never,
): number {
  const layout = native.find("linear", quantizer.ternary ? "t2" : "f32");
  if (layout === undefined) return fail("there is no layout to compare through");
  const random = new Random(11);
  let compared = 0;
  for (const [rows, k] of shapes) {
    const shape = [rows, k];
    try {
      quantizer.byteLength(shape);
    } catch {
      continue;
    }
    compared++;
    const any = () =>
      quantizer.ternary ? ((random.uint32() % 3) - 1) * 0.25 : random.double() * 2 - 1;
    const values =
      options.values?.(shape, 0.25, () => random.double()) ??
      Float32Array.from({ length: rows * k }, any);
    const stored = quantizer.encode(values, shape);
    const decoded = quantizer.decode(stored, shape);
    const plain = quantizer.ternary ? Int8Array.from(decoded, Math.sign) : decoded;
    const want = packed(native, layout, plain, 0, rows, k, 1);
    for (const count of options.threads) {
      const got = packed(native, layout, stored.bytes, entry.unpack, rows, k, count);
      if (got === undefined) return fail(`it calls valid codes invalid ([${shape}])`);
      const at = got.findIndex((byte, i) => byte !== want![i]);
      if (at >= 0) fail(`it differs from decode ([${shape}], ${count} threads, packed byte ${at})`);
    }
  }
  return compared > 0 ? compared : fail(`no test shape fits the format ${quantizer.format}`);
}

function packed(
  { host }: Native,
  layout: NativeEntry,
  source: Uint8Array | Int8Array | Float32Array,
  unpack: number,
  n: number,
  k: number,
  threads: number,
): Uint8Array | undefined {
  const total = Math.ceil(n / 16) * 16;
  const bytes = host.packedBytes(layout, total, k);
  using out = host.alloc(bytes);
  using pool = host.createPool(threads);
  const failed = host.pack(pool, {
    source: addressOf(source),
    sourceBytes: source.byteLength,
    unpack,
    pack: layout.pack,
    out: out.address,
    n,
    k,
    blockStep: 1,
    float: layout.format === "f32" ? 1 : 0,
    totalRows: total,
  });
  return failed === 0 ? bytesView(out.address, bytes).slice() : undefined;
}
