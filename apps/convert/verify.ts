// Proves an output: compares every weight and scale of one tensor with the source's.
import { WrinkleFreeError } from "../../core/index.ts";
import type { Model } from "../../core/model.ts";
import { type Job, targetGroup } from "./encode.ts";
import { encodedPieces } from "./float-pieces.ts";
import type { PlannedTensor } from "./plan.ts";
import { regroup } from "./regroup.ts";
import { Source } from "./source.ts";

/** Largest relative rounding of a scale that a format stores as float16. */
const halfRounding = 2 ** -11;

export interface Proof {
  /** Ternary weights that were compared. */
  readonly weights: number;
  /** Whether the format rounded a scale to float16. */
  readonly rounded: boolean;
}

/**
 * Compares one tensor of the output with the source. Trits must be equal, scales too (or their
 * float16 roundings), floats equal what their format makes of the source's values. Throws `internal`
 * naming the tensor that differs.
 */
export function verifyJob({ tensor }: Job, source: Source, output: Model): Proof {
  if (tensor.kind === "ternary") {
    const rounded = compareTernary(tensor, source, new Source(output, undefined));
    return { weights: tensor.shape.reduce((a, b) => a * b, 1), rounded };
  }
  compareFloats(tensor, source, output);
  return { weights: 0, rounded: false };
}

function differs(tensor: PlannedTensor, text: string): never {
  throw new WrinkleFreeError("internal", `verification failed: ${tensor.name}: ${text}`, {
    tensor: tensor.name,
    hint: "Please report this with the command line; nothing was written under the final name.",
  });
}

/** Returns whether scales were rounded to float16. */
function compareTernary(tensor: PlannedTensor, source: Source, written: Source): boolean {
  const wanted = source.trits(tensor.source as never);
  const got = written.trits(written.model.tensor(tensor.name));
  if (!equalBytes(wanted.trits, got.trits)) differs(tensor, "a weight is not the source's");
  const { format } = tensor.quantizer;
  const wantedScales = regroup(wanted, targetGroup(tensor), format);
  const gotScales = regroup(got, targetGroup(tensor), format);
  let rounded = false;
  for (let i = 0; i < wantedScales.length; i++) {
    const [a, b] = [wantedScales[i] as number, gotScales[i] as number];
    if (a === b) continue;
    if (!(Math.abs(a - b) <= Math.abs(a) * halfRounding)) differs(tensor, `scale ${b} was ${a}`);
    rounded = true;
  }
  return rounded;
}

function compareFloats(tensor: PlannedTensor, source: Source, output: Model): void {
  const { bytes } = output.data(tensor.name);
  let at = 0;
  for (const encoded of encodedPieces(tensor, source)) {
    const written = bytes.subarray(at, at + encoded.byteLength);
    if (!equalBytes(encoded, written)) differs(tensor, "its bytes are not the source's values");
    at += encoded.byteLength;
  }
}

function equalBytes(a: Uint8Array | Int8Array, b: Uint8Array | Int8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  const view = (part: Uint8Array | Int8Array): Buffer =>
    Buffer.from(part.buffer as ArrayBuffer, part.byteOffset, part.byteLength);
  return view(a).equals(view(b));
}
