// The logical shape and format of a tensor as checkpoints store it.

/**
 * Format and shape of a stored tensor: four rows of a packed BitNet matrix share a byte row (`.weight`
 * of type u8), SGLang's `.qweight` packs along the row; everything else is as it is stored.
 */
export function logicalTensor(
  name: string,
  format: string,
  shape: readonly number[],
): [format: string, shape: readonly number[]] {
  const [rows, columns] = shape;
  const packed = format === "u8" && shape.length === 2;
  if (!packed || rows === undefined || columns === undefined) return [format, shape];
  if (name.endsWith(".qweight")) return ["sglang", [rows, 4 * columns]];
  return name.endsWith(".weight") ? ["hf-packed", [4 * rows, columns]] : [format, shape];
}
