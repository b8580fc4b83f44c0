// Scales and biases of packed matrices, in the order of their packed rows.
import { WrinkleFreeError } from "../errors.ts";
import type { Model } from "../model.ts";
import { type Part, packedRow, type RowScales, rowScales } from "./parts.ts";

/** Elements that share a scale; 0 = a row's. Told by the format alone where it has no groups. */
export function scaleGroup(model: Model, name: string): number {
  const { masters, quantizer } = model.tensor(name);
  if (masters || quantizer.ternary?.group === undefined) return 0;
  return scalesOf(model, name, 0).group;
}

/** Scales of one part, one a row or `group` elements each. */
function scalesOf(model: Model, name: string, index: number): RowScales {
  const tensor = model.tensor(name);
  const [rows, k] = tensor.shape.slice(-2) as [number, number];
  const stacked = tensor.shape.length === 3 && tensor.parts.length === 1;
  const all = storedScales(model, name, stacked ? 0 : index);
  const group = tensor.masters ? undefined : tensor.quantizer.ternary?.group;
  if (!stacked) return rowScales(all, rows, k, group);
  const count = all.length / (tensor.shape[0] ?? 1);
  return rowScales(all.subarray(index * count, (index + 1) * count), rows, k, group);
}

function storedScales(model: Model, name: string, part: number): Float32Array {
  const { masters, quantizer, shape, parts } = model.tensor(name);
  if (masters) return model.ternary(name, part).scales;
  const own = shape.length === 3 && parts.length > 1 ? shape.slice(1) : shape;
  return quantizer.scales?.(model.data(name, part), own) ?? model.ternary(name, part).scales;
}

/**
 * Scales f32 [experts][n], or [experts][n][k / group], of the matrices that `all` lists the parts of;
 * undefined for float weights. `known`: scales that need not be read. Throws `unsupported` where
 * groups differ.
 */
export function packedScales(
  model: Model,
  all: readonly (readonly Part[])[],
  n: number,
  k: number,
  known: ReadonlyMap<Part, RowScales> = new Map(),
): { readonly values?: Float32Array; readonly group: number } {
  const first = all[0]?.[0];
  if (!first || !model.tensor(first.name).ternary) return { group: 0 };
  const group = scaleGroup(model, first.name);
  const perRow = group === 0 ? 1 : Math.ceil(k / group);
  const packed = new Float32Array(all.length * n * perRow);
  all.forEach((parts, e) => {
    for (const part of parts) {
      const own = known.get(part) ?? scalesOf(model, part.name, part.index);
      if (own.group !== group) throw mixedGroups(model, part.name);
      for (let row = 0; row < part.rows; row++) {
        const target = (e * n + packedRow(part, row)) * perRow;
        packed.set(own.scales.subarray(row * perRow, (row + 1) * perRow), target);
      }
    }
  });
  return { values: packed, group };
}

function mixedGroups(model: Model, name: string): WrinkleFreeError {
  return new WrinkleFreeError(
    "unsupported",
    `${model.path}: ${name}: scales of experts differ in their groups`,
    { file: model.path, tensor: name },
  );
}

/** Biases f32 [experts][n], undefined where there are none. Throws `bad_file` for a wrong length. */
export function packedBias(
  model: Model,
  all: readonly (readonly Part[])[],
  n: number,
): Float32Array | undefined {
  const biasName = (part: Part): string => part.name.replace(/\.weight$/, ".bias");
  if (!all[0]?.some((part) => model.has(biasName(part)))) return undefined;
  const packed = new Float32Array(all.length * n);
  all.forEach((parts, e) => {
    for (const part of parts) {
      if (!model.has(biasName(part))) continue;
      const bias = model.floats(biasName(part), part.index);
      if (bias.length !== part.rows) {
        throw new WrinkleFreeError(
          "bad_file",
          `${model.path}: ${biasName(part)} has ${bias.length} elements, not ${part.rows}`,
          { file: model.path, tensor: biasName(part) },
        );
      }
      bias.forEach((value, row) => {
        packed[e * n + packedRow(part, row)] = value;
      });
    }
  });
  return packed;
}
