// Opens safetensors checkpoints: one file or shards, with the JSON files beside them. Decodes nothing.
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  type Loader,
  type MappedFile,
  type ModelFile,
  mapFile,
  type TensorInfo,
  WrinkleFreeError,
} from "../../core/index.ts";
import { type CheckpointFiles, readCheckpointFiles, readJson } from "./checkpoint.ts";
import { readHeader, type StoredTensor } from "./header.ts";

const single = "model.safetensors";
const index = "model.safetensors.index.json";

export const safetensorsLoader: Loader = {
  name: "safetensors",
  accepts(path, head) {
    if (path.endsWith(".safetensors") || path.endsWith(".safetensors.index.json")) return true;
    if (head.length > 8) return head[8] === 0x7b && head[6] === 0 && head[7] === 0;
    return isFolder(path) && tensorFiles(path).length > 0;
  },
  open: async (path) => openSafetensors(path),
};

/** Opens a folder, a .safetensors file or an index. Throws `not_found` or `bad_file`. */
export function openSafetensors(path: string): ModelFile {
  const folder = isFolder(path) ? path : dirname(path);
  const { names, located } = listShards(path, folder);
  const files: MappedFile[] = [];
  try {
    const tensors = new Map<string, Place>();
    for (const name of names) {
      const file = mapFile(join(folder, name));
      files.push(file);
      for (const stored of readHeader(file)) {
        if (tensors.has(stored.name))
          fail(file.path, `tensor ${stored.name} is in two shards`, stored.name);
        tensors.set(stored.name, { file, stored });
      }
    }
    for (const [tensor, shard] of located) {
      if (!tensors.has(tensor)) fail(join(folder, shard), `tensor ${tensor} is missing`, tensor);
    }
    return new SafetensorsFile(path, readCheckpointFiles(folder), files, tensors);
  } catch (error) {
    for (const file of files) file[Symbol.dispose]();
    throw error;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function tensorFiles(folder: string): string[] {
  if (existsSync(join(folder, index))) return [index];
  const names = readdirSync(folder).filter((name) => name.endsWith(".safetensors"));
  return names.includes(single) ? [single] : names.sort();
}

function fail(path: string, text: string, tensor?: string): never {
  throw new WrinkleFreeError("bad_file", `${path}: ${text}`, {
    file: path,
    tensor,
    hint: "The checkpoint is incomplete or damaged: download it again.",
  });
}

/** Files to open, and which of them the index says holds each tensor. */
function listShards(
  path: string,
  folder: string,
): { names: string[]; located: Map<string, string> } {
  const files = isFolder(path) ? tensorFiles(path) : [basename(path)];
  const first = files[0];
  if (first === undefined) fail(path, "no .safetensors file in the folder");
  if (!first.endsWith(".json")) {
    if (files.length > 1) fail(path, `${files.length} .safetensors files, but no ${index}`);
    return { names: files, located: new Map() };
  }
  const indexPath = join(folder, first);
  const map = readJson(folder, first)?.weight_map;
  if (typeof map !== "object" || map === null) return fail(indexPath, "no weight_map");
  const located = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(map)) {
    if (typeof shard !== "string" || shard !== basename(shard) || !shard.endsWith(".safetensors")) {
      fail(indexPath, `weight_map names the file ${JSON.stringify(shard)}`, tensor);
    }
    located.set(tensor, shard);
  }
  const names = [...new Set(located.values())].sort();
  for (const name of names) {
    if (existsSync(join(folder, name))) continue;
    throw new WrinkleFreeError("not_found", `${join(folder, name)}: this shard is missing`, {
      file: join(folder, name),
      hint: "Download the rest of the checkpoint.",
    });
  }
  return { names, located };
}

interface Place {
  readonly file: MappedFile;
  readonly stored: StoredTensor;
}

/** Four rows of a packed matrix share a byte row; SGLang's `qweight` packs along the row instead. */
function logical(stored: StoredTensor): [string, readonly number[]] {
  const [rows, columns] = stored.shape;
  const packed = stored.format === "u8" && stored.shape.length === 2;
  if (!packed || rows === undefined || columns === undefined) return [stored.format, stored.shape];
  if (stored.name.endsWith(".qweight")) return ["sglang", [rows, 4 * columns]];
  if (!stored.name.endsWith(".weight")) return [stored.format, stored.shape];
  return ["hf-packed", [4 * rows, columns]];
}

class SafetensorsFile implements ModelFile {
  readonly kind = "huggingface";
  readonly path: string;
  readonly metadata = {};
  readonly config: CheckpointFiles["config"];
  readonly generationConfig: CheckpointFiles["generationConfig"];
  readonly tokenizer: CheckpointFiles["tokenizer"];
  readonly chatTemplate: CheckpointFiles["chatTemplate"];
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #files: readonly MappedFile[];
  readonly #places: ReadonlyMap<string, Place>;

  constructor(
    path: string,
    beside: CheckpointFiles,
    files: readonly MappedFile[],
    places: ReadonlyMap<string, Place>,
  ) {
    this.path = path;
    this.config = beside.config;
    this.generationConfig = beside.generationConfig;
    this.tokenizer = beside.tokenizer;
    this.chatTemplate = beside.chatTemplate;
    this.#files = files;
    this.#places = places;
    const tensors = new Map<string, TensorInfo>();
    for (const { file, stored } of places.values()) {
      const [format, shape] = logical(stored);
      const { name, byteLength } = stored;
      tensors.set(name, { name, shape, format, byteLength, address: file.address + stored.offset });
    }
    this.tensors = tensors;
  }

  bytes(name: string): Uint8Array {
    const place = this.#places.get(name);
    if (!place) {
      throw new WrinkleFreeError("not_found", `${this.path}: no tensor ${name}`, {
        file: this.path,
        tensor: name,
      });
    }
    return place.file.view(place.stored.offset, place.stored.byteLength);
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) file[Symbol.dispose]();
  }
}
