// Proves an output: re-opens it and compares every weight and scale with the source.
import { type Registry, WrinkleFreeError } from "../../core/index.ts";
import { type Model, openModel } from "../../core/model.ts";
import { targetGroup } from "./encode.ts";
import type { ConvertOptions } from "./options.ts";
import type { PlannedTensor } from "./plan.ts";
import { regroup } from "./regroup.ts";
import { Source } from "./source.ts";

/** Largest relative rounding of a scale that a format stores as float16. */
const halfRounding = 2 ** -11;

/**
 * Compares the file at `path` with the source; returns the number of ternary weights compared. Trits
 * must be equal, scales too (or their float16 roundings), float tensors equal what their format makes
 * of the source's values. Throws `internal` naming the first tensor that differs.
 */
export async function verify(
  path: string,
  planned: readonly PlannedTensor[],
  source: Source,
  registry: Registry,
  options: ConvertOptions,
): Promise<number> {
  using output = await openModel(path, registry);
  const written = new Source(output, undefined);
  const totalBytes = planned.reduce((sum, tensor) => sum + tensor.byteLength, 0);
  let bytes = 0;
  let weights = 0;
  let rounded = 0;
  for (const tensor of planned) {
    if (tensor.kind === "ternary") {
      rounded += compareTernary(tensor, source, written);
      weights += tensor.shape.reduce((a, b) => a * b, 1);
    } else if (tensor.kind === "float") {
      compareFloats(tensor, source, output);
    }
    bytes += tensor.byteLength;
    options.progress?.({ phase: "verify", tensor: tensor.name, bytes, totalBytes });
  }
  if (rounded > 0) {
    options.warn?.(
      `${rounded} tensors: ${options.quantize} stores scales as float16, which rounds theirs`,
    );
  }
  return weights;
}

function differs(tensor: PlannedTensor, text: string): never {
  throw new WrinkleFreeError("internal", `verification failed: ${tensor.name}: ${text}`, {
    tensor: tensor.name,
    hint: "Please report this with the command line; nothing was written under the final name.",
  });
}

/** Returns 1 where scales were rounded to float16, else 0. */
function compareTernary(tensor: PlannedTensor, source: Source, written: Source): number {
  const wanted = source.trits(tensor.source as never);
  const got = written.trits(written.model.tensor(tensor.name));
  if (!equalBytes(wanted.trits, got.trits)) differs(tensor, "a weight is not the source's");
  const { format } = tensor.quantizer;
  const wantedScales = regroup(wanted, targetGroup(tensor), format);
  const gotScales = regroup(got, targetGroup(tensor), format);
  let rounded = 0;
  for (let i = 0; i < wantedScales.length; i++) {
    const [a, b] = [wantedScales[i] as number, gotScales[i] as number];
    if (a === b) continue;
    if (Math.abs(a - b) > Math.abs(a) * halfRounding) differs(tensor, `scale ${b} was ${a}`);
    rounded = 1;
  }
  return rounded;
}

function compareFloats(tensor: PlannedTensor, source: Source, output: Model): void {
  const values = source.floats(tensor.source as never);
  const encoded = tensor.quantizer.encode(values, tensor.shape).bytes;
  const { bytes } = output.data(tensor.name);
  if (!equalBytes(encoded, bytes)) differs(tensor, "its bytes are not the source's values");
}

function equalBytes(a: Uint8Array | Int8Array, b: Uint8Array | Int8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  const view = (part: Uint8Array | Int8Array): Buffer =>
    Buffer.from(part.buffer as ArrayBuffer, part.byteOffset, part.byteLength);
  return view(a).equals(view(b));
}
