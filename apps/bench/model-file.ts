// Writes a synthetic model to a GGUF file, once; later runs find it.
import { existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Registry } from "../../core/index.ts";
import { GgufWriter } from "../../plugins/standard.ts";
import { byteLength, patternPieces } from "./patterns.ts";
import { type Shape, shapeOf } from "./shapes.ts";
import {
  elements,
  type Storage,
  type SyntheticTensor,
  syntheticMetadata,
  syntheticTensors,
} from "./synthetic.ts";
import { syntheticVocabulary } from "./vocabulary.ts";

/** Changes whenever a file written before is no longer what this version writes. */
const version = 3;
const contextLength = 8192;
/** ggml's file_type numbers, for readers that show them. */
const fileTypes = { i2_s: 40, tq2_0: 37 } as const;

/** The file of a shape in the temporary folder, with a tokenizer. Throws `usage`, `unsupported`. */
export function syntheticPath(
  name: string,
  registry: Registry,
  storage: Storage = { ternary: "i2_s", embedding: "f16" },
): string {
  const shape = shapeOf(name);
  const folder = join(tmpdir(), "wrinklefree-bench");
  const own = `${name}-${storage.ternary}-${storage.embedding}-v${version}.gguf`;
  const path = join(folder, own);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  write(path, name, shape, storage, registry);
  return path;
}

function write(
  path: string,
  name: string,
  shape: Shape,
  storage: Storage,
  registry: Registry,
): void {
  const tensors = syntheticTensors(shape, storage);
  const metadata = {
    ...syntheticMetadata(name, shape, contextLength),
    "general.file_type": fileTypes[storage.ternary],
    ...syntheticVocabulary(shape.vocabulary),
  };
  const plan = tensors.map((tensor) => ({
    name: tensor.name,
    shape: tensor.shape,
    type: typeOf(tensor, registry),
    byteLength: byteLength(tensor.format, elements(tensor)),
  }));
  const writer = new GgufWriter(path, metadata, plan);
  try {
    for (const tensor of tensors) {
      for (const piece of patternPieces(tensor.format, elements(tensor), tensor.value)) {
        writer.write(tensor.name, piece);
      }
    }
    writer.complete();
    writer.rename();
  } catch (error) {
    writer.abort();
    throw error;
  }
}

function typeOf(tensor: SyntheticTensor, registry: Registry): number {
  return registry.quantizer(tensor.format).ggufType ?? 0;
}
