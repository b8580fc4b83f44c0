// Encodes one planned tensor; the scale that a format keeps apart waits for its own turn.
import { WrinkleFreeError } from "../../core/index.ts";
import type { PlannedTensor } from "./plan.ts";
import { expand, type GroupedTrits, regroup } from "./regroup.ts";
import type { Source } from "./source.ts";

/** Elements that share a scale of the planned format. */
export function targetGroup(planned: PlannedTensor): number {
  const { shape, quantizer } = planned;
  const total = shape.reduce((product, size) => product * size, 1);
  const group = quantizer.ternary?.group;
  if (group === undefined) return shape.length > 2 ? total / (shape[0] ?? 1) : total;
  return group === Infinity ? (shape[shape.length - 1] ?? 1) : group;
}

export class Encoder {
  readonly #source: Source;
  #apart: Float32Array | undefined;

  constructor(source: Source) {
    this.#source = source;
  }

  /** The bytes of `planned`; companions ("scale") come right after their tensor. */
  encode(planned: PlannedTensor): Uint8Array {
    switch (planned.kind) {
      case "ternary":
        return this.#ternary(planned);
      case "scale":
        return this.#scale(planned);
      default: {
        const values = planned.values ?? this.#source.floats(planned.source as never);
        return planned.quantizer.encode(values, planned.shape).bytes;
      }
    }
  }

  #ternary(planned: PlannedTensor): Uint8Array {
    const { name, shape, quantizer, source } = planned;
    const weights: GroupedTrits = this.#source.trits(source as never);
    const scales = regroup(weights, targetGroup(planned), quantizer.format);
    const pack = quantizer.ternary?.pack;
    const data = pack
      ? pack({ trits: weights.trits, scales }, shape)
      : quantizer.encode(expand(weights), shape);
    if (data.bytes.byteLength !== planned.byteLength) {
      throw new WrinkleFreeError(
        "plugin",
        `format ${quantizer.format} encoded ${name} to ${data.bytes.byteLength} bytes, ` +
          `its byteLength says ${planned.byteLength}`,
        { tensor: name },
      );
    }
    this.#apart = data.scale;
    return data.bytes;
  }

  #scale(planned: PlannedTensor): Uint8Array {
    const scale = this.#apart;
    if (!scale || scale.length !== planned.shape[0]) {
      throw new WrinkleFreeError(
        "plugin",
        `${planned.name}: ${scale?.length ?? 0} scales came back`,
        {
          tensor: planned.name,
          hint: "encode must return the scale where the format declares separateScale.",
        },
      );
    }
    return planned.quantizer.encode(scale, planned.shape).bytes;
  }
}
