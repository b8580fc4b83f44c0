// Opens PyTorch checkpoints (.pt, .pth, .bin; single or sharded) without executing what they contain.
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
import { readStateDict, type StateDict } from "./state-dict.ts";

const index = "pytorch_model.bin.index.json";
/** Files of a checkpoint folder, in the order in which they are looked for. */
const single = ["pytorch_model.bin", "model.pt", "checkpoint.pt", "model.pth", "pytorch_model.pt"];

export const pytorchLoader: Loader = {
  name: "pytorch",
  accepts(path, head) {
    const isZip = head.length > 3 && head[0] === 0x50 && head[1] === 0x4b;
    if (head.length > 0) return isZip || (isLegacy(head) && /\.(pt|pth|bin)$/.test(path));
    if (!isFolder(path)) return false;
    const names = readdirSync(path);
    return !names.some((name) => name.endsWith(".safetensors")) && filesOf(path).length > 0;
  },
  open: async (path, options) => openPytorch(path, options),
};

/** Opens a file or folder. Throws `not_found`, `bad_file` or `unsupported`. */
export function openPytorch(path: string, options: OpenOptions = {}): ModelFile {
  const folder = isFolder(path) ? path : dirname(path);
  const names = isFolder(path) ? filesOf(path) : [basename(path)];
  const files: MappedFile[] = [];
  const tensors = new Map<string, StoredTensor>();
  let lambda: number | undefined;
  try {
    for (const name of names) {
      const file = mapFile(join(folder, name));
      files.push(file);
      refuseLegacy(file);
      const { tensors: found, extra } = readStateDict(file);
      lambda ??= warmupLambda(extra);
      for (const tensor of found.values()) {
        if (!tensors.has(tensor.name)) tensors.set(tensor.name, tensor);
        else throw twice(file.path, tensor.name);
      }
    }
    const extra = lambda === undefined ? undefined : { quantization_lambda: lambda };
    return openCheckpoint(path, configFolder(folder), tensors, files, { ...options, extra });
  } catch (error) {
    for (const file of files) file[Symbol.dispose]();
    throw error;
  }
}

/**
 * How far a quantization warm-up had come when the checkpoint was saved: below 1 the model did not
 * run on ternary weights yet. Training scripts call it lambda, with or without more words.
 */
function warmupLambda(extra: StateDict["extra"]): number | undefined {
  for (const [name, value] of extra) {
    if (value instanceof Map) {
      const inner = new Map([...value].filter(([key]) => typeof key === "string"));
      const found = /lambda|quant/i.test(name)
        ? warmupLambda(inner as StateDict["extra"])
        : undefined;
      if (found !== undefined) return found;
    }
    const fraction = typeof value === "number" && value >= 0 && value <= 1;
    if (fraction && /lambda/i.test(name)) return value;
  }
  return undefined;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function filesOf(folder: string): string[] {
  if (existsSync(join(folder, index))) return shards(folder);
  const found = single.find((name) => existsSync(join(folder, name)));
  return found === undefined ? [] : [found];
}

function shards(folder: string): string[] {
  const map = readJson(folder, index)?.weight_map;
  const names = new Set(Object.values((map ?? {}) as Record<string, unknown>));
  return [...names].map((name) => {
    const path = join(folder, index);
    if (typeof name !== "string" || name !== basename(name)) {
      throw new WrinkleFreeError(
        "bad_file",
        `${path}: weight_map names the file ${JSON.stringify(name)}`,
        {
          file: path,
        },
      );
    }
    if (existsSync(join(folder, name))) return name;
    throw new WrinkleFreeError("not_found", `${join(folder, name)}: this shard is missing`, {
      file: join(folder, name),
      hint: "Download the rest of the checkpoint.",
    });
  });
}

/** Training runs keep config and tokenizer above `checkpoints/<step>/`. */
function configFolder(folder: string): string {
  for (const above of [folder, dirname(folder), dirname(dirname(folder))]) {
    if (existsSync(join(above, "config.json"))) return above;
  }
  return folder;
}

function twice(path: string, name: string): WrinkleFreeError {
  return new WrinkleFreeError("bad_file", `${path}: tensor ${name} is in two shards`, {
    file: path,
    tensor: name,
  });
}

/** torch.save before 1.6 wrote pickles one after another, the first of them a magic number. */
function isLegacy(head: Uint8Array): boolean {
  return head[0] === 0x80 && (head[1] ?? 0) <= 5;
}

function refuseLegacy(file: MappedFile): void {
  if (file.byteLength < 4 || !isLegacy(file.view(0, 4))) return;
  throw new WrinkleFreeError("unsupported", `${file.path}: saved by torch before 1.6`, {
    file: file.path,
    hint: "Load it in Python and torch.save it again, or save it as safetensors.",
  });
}
