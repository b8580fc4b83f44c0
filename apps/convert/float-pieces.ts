// The encoded bytes of a float tensor, piece after piece: copied, looked up, or decoded and encoded.
import type { Quantizer } from "../../core/index.ts";
import type { PlannedTensor } from "./plan.ts";
import { rowFormats, type Source } from "./source.ts";

/** Bytes of a piece that is copied. */
const copyBytes = 1 << 22;

/** What the output holds of a tensor that is not ternary. */
export function* encodedPieces(planned: PlannedTensor, source: Source): Generator<Uint8Array> {
  const { quantizer, shape, values } = planned;
  const tensor = planned.source;
  if (values || !tensor) {
    if (values) yield quantizer.encode(values, shape).bytes;
    return;
  }
  const stored = source.asStored(tensor);
  if (stored && tensor.format === quantizer.format) {
    for (let at = 0; at < stored.byteLength; at += copyBytes) {
      yield stored.subarray(at, at + copyBytes);
    }
  } else if (stored && halves.has(tensor.format) && halves.has(quantizer.format)) {
    yield* translated(stored, halfTable(tensor.quantizer, quantizer));
  } else if (!rowFormats.has(quantizer.format)) {
    yield quantizer.encode(source.floats(tensor), shape).bytes;
  } else {
    const columns = shape[shape.length - 1] ?? 1;
    for (const piece of source.floatPieces(tensor)) {
      const whole = piece.length === shape.reduce((a, b) => a * b, 1);
      yield quantizer.encode(piece, whole ? shape : [piece.length / columns, columns]).bytes;
    }
  }
}

/** Formats of two bytes a value, each on its own. */
const halves: ReadonlySet<string> = new Set(["f16", "bf16"]);

/** The code in `to` of each of the 65536 codes in `from`. */
function halfTable(from: Quantizer, to: Quantizer): Uint16Array {
  const codes = Uint16Array.from({ length: 65536 }, (_, code) => code);
  const values = from.decode({ bytes: new Uint8Array(codes.buffer) }, [65536]);
  return new Uint16Array(Uint8Array.from(to.encode(values, [65536]).bytes).buffer);
}

/** The pieces share one buffer: each is to be used before the next is asked for. */
function* translated(stored: Uint8Array, table: Uint16Array): Generator<Uint8Array> {
  const result = new Uint16Array(Math.min(copyBytes, stored.byteLength) / 2);
  for (let at = 0; at < stored.byteLength; at += copyBytes) {
    const length = Math.min(copyBytes, stored.byteLength - at);
    const aligned = (stored.byteOffset + at) % 2 === 0;
    const piece = aligned ? stored.subarray(at, at + length) : stored.slice(at, at + length);
    const codes = new Uint16Array(piece.buffer, piece.byteOffset, length / 2);
    for (let i = 0; i < codes.length; i++) result[i] = table[codes[i] as number] as number;
    yield new Uint8Array(result.buffer, 0, length);
  }
}
