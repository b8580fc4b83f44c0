// Tile sizes of tl1 and tl2 tensors: from the file's own keys, else bitnet.cpp's build presets by shape.
import type { MetadataValue } from "../../core/index.ts";

/** rows, columns, BM, BK and inner bm of bitnet.cpp's preset kernels (its kernel_config.ini files). */
const tl1Presets = [
  [14336, 4096, 256, 128, 64],
  [4096, 14336, 256, 128, 32],
  [1024, 4096, 128, 64, 64],
  [4096, 4096, 128, 64, 32],
  [3200, 8640, 160, 64, 32],
  [3200, 3200, 320, 128, 64],
  [8640, 3200, 320, 64, 32],
  [1536, 4096, 256, 128, 32],
  [1536, 1536, 128, 64, 64],
  [4096, 1536, 256, 128, 32],
] as const;

const tl2Presets = [
  [14336, 4096, 256, 96, 32],
  [4096, 14336, 128, 96, 32],
  [1024, 4096, 256, 96, 32],
  [4096, 4096, 128, 96, 32],
  [3200, 8640, 160, 96, 32],
  [3200, 3200, 320, 96, 32],
  [8640, 3200, 320, 96, 32],
  [1536, 4096, 256, 96, 32],
  [1536, 1536, 128, 192, 32],
  [4096, 1536, 256, 96, 32],
] as const;

/**
 * Tile sizes of one tensor: rows (bm) and columns (bk) of a tile, columns of an inner one (by).
 * undefined for other formats, and where neither the file nor a preset tells them.
 */
export function findTiles(
  format: string,
  name: string,
  shape: readonly number[],
  values: Readonly<Record<string, MetadataValue>>,
): Readonly<Record<string, number>> | undefined {
  if (format !== "tl1" && format !== "tl2") return undefined;
  const stated = ["bm", "bk", "by"].map((part) => values[`wrinklefree.${format}.${name}.${part}`]);
  if (stated.every((value) => typeof value === "number")) {
    const [bm, bk, by] = stated as [number, number, number];
    return { bm, bk, by };
  }
  const presets = format === "tl1" ? tl1Presets : tl2Presets;
  const [rows, columns] = shape;
  const preset = presets.find((entry) => entry[0] === rows && entry[1] === columns);
  if (!preset) return undefined;
  const weights = format === "tl1" ? 256 : 192;
  return { bm: preset[2], bk: preset[3], by: weights / preset[4] };
}
