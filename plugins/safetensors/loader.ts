// Opens safetensors checkpoints: one file or shards, with the JSON files beside them. Decodes nothing.
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  type Loader,
  type MappedFile,
  type ModelFile,
  mapFile,
  type OpenOptions,
  openCheckpoint,
  readJson,
  type StoredTensor,
  WrinkleFreeError,
} from "../../core/index.ts";
import { readHeader } from "./header.ts";

const single = "model.safetensors";
const index = "model.safetensors.index.json";

export const safetensorsLoader: Loader = {
  name: "safetensors",
  accepts(path, head) {
    if (path.endsWith(".safetensors") || path.endsWith(".safetensors.index.json")) return true;
    if (head.length > 8) return head[8] === 0x7b && head[6] === 0 && head[7] === 0;
    return isFolder(path) && tensorFiles(path).length > 0;
  },
  open: async (path, options) => openSafetensors(path, options),
};

/** Opens a folder, a .safetensors file or an index. Throws `not_found` or `bad_file`. */
export function openSafetensors(path: string, options: OpenOptions = {}): ModelFile {
  const folder = isFolder(path) ? path : dirname(path);
  const { names, located } = listShards(path, folder);
  const files: MappedFile[] = [];
  try {
    const tensors = new Map<string, StoredTensor>();
    for (const name of names) {
      const file = mapFile(join(folder, name));
      files.push(file);
      for (const tensor of readHeader(file)) {
        const known = tensors.has(tensor.name);
        if (known) fail(file.path, `tensor ${tensor.name} is in two shards`, tensor.name);
        tensors.set(tensor.name, { ...tensor, file });
      }
    }
    for (const [tensor, shard] of located) {
      if (!tensors.has(tensor)) {
        fail(join(folder, shard), `tensor ${tensor} is missing`, tensor);
      }
    }
    return openCheckpoint(path, folder, tensors, files, options);
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
