// Encodes one planned tensor; the scale that a format keeps apart waits for its own turn.
import { WrinkleFreeError } from "../../core/index.ts";
import { encodedPieces } from "./float-pieces.ts";
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

/** Takes a tensor's bytes, piece after piece. */
export type Put = (name: string, bytes: Uint8Array) => void;

/** A tensor and the scale that its format keeps apart, which are encoded together. */
export interface Job {
  readonly tensor: PlannedTensor;
  readonly scale?: PlannedTensor;
}

/** Each tensor with the scale that follows it. */
export function jobsOf(planned: readonly PlannedTensor[]): Job[] {
  const jobs: Job[] = [];
  for (const [index, tensor] of planned.entries()) {
    if (tensor.kind === "scale") continue;
    const next = planned[index + 1];
    jobs.push(next?.kind === "scale" ? { tensor, scale: next } : { tensor });
  }
  return jobs;
}

export class Encoder {
  readonly #source: Source;
  readonly #put: Put;

  constructor(source: Source, put: Put) {
    this.#source = source;
    this.#put = put;
  }

  encode({ tensor, scale }: Job): void {
    if (tensor.kind === "ternary") {
      const apart = this.#ternary(tensor);
      if (scale) this.#scale(scale, apart);
      return;
    }
    for (const bytes of encodedPieces(tensor, this.#source)) this.#put(tensor.name, bytes);
  }

  #ternary(planned: PlannedTensor): Float32Array | undefined {
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
    this.#put(name, data.bytes);
    return data.scale;
  }

  #scale(planned: PlannedTensor, scale: Float32Array | undefined): void {
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
    this.#put(planned.name, planned.quantizer.encode(scale, planned.shape).bytes);
  }
}
