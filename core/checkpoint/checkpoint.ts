// A Hugging Face checkpoint as a ModelFile: tensors in mapped files, JSON files beside them.
import { WrinkleFreeError } from "../errors.ts";
import type { MappedFile } from "../mapped-file.ts";
import type { ModelFile, OpenOptions, TensorInfo } from "../plugin/loader.ts";
import { describeCheckpoint } from "./family.ts";
import { readCheckpointFiles } from "./files.ts";
import { logicalTensor } from "./tensors.ts";

/** Where a stored tensor lies. */
export interface StoredTensor {
  readonly name: string;
  /** Format of the stored values ("bf16", "u8"). */
  readonly format: string;
  /** As stored. */
  readonly shape: readonly number[];
  readonly file: MappedFile;
  /** From the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * The checkpoint of `tensors`; config, tokenizer and template come from `folder`. Throws `bad_file`
 * for a damaged JSON file and where neither the folder nor `options` has a config. `options.extra`
 * are fields that the tensors' file adds to it.
 */
export function openCheckpoint(
  path: string,
  folder: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  files: readonly MappedFile[],
  options: OpenOptions & { readonly extra?: Readonly<Record<string, unknown>> } = {},
): ModelFile {
  const beside = readCheckpointFiles(folder);
  const config = options.config ?? beside.config;
  if (config === undefined) {
    throw new WrinkleFreeError("bad_file", `${path}: there is no config.json beside the tensors`, {
      file: path,
      hint: "Give the config.json of the model it was trained from with --config FILE.",
    });
  }
  const described = describeCheckpoint(config, tensors.keys());
  const own = { ...beside, config: { ...described, ...options.extra } };
  return new Checkpoint(path, own, tensors, files);
}

type Beside = Pick<ModelFile, "config" | "generationConfig" | "tokenizer" | "chatTemplate">;

class Checkpoint implements ModelFile {
  readonly kind = "huggingface";
  readonly path: string;
  readonly metadata = {};
  readonly config: ModelFile["config"];
  readonly generationConfig: ModelFile["generationConfig"];
  readonly tokenizer: ModelFile["tokenizer"];
  readonly chatTemplate: ModelFile["chatTemplate"];
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #stored: ReadonlyMap<string, StoredTensor>;
  readonly #files: readonly MappedFile[];

  constructor(
    path: string,
    beside: Beside,
    stored: ReadonlyMap<string, StoredTensor>,
    files: readonly MappedFile[],
  ) {
    this.path = path;
    this.config = beside.config;
    this.generationConfig = beside.generationConfig;
    this.tokenizer = beside.tokenizer;
    this.chatTemplate = beside.chatTemplate;
    this.#stored = stored;
    this.#files = files;
    const tensors = new Map<string, TensorInfo>();
    for (const { name, format, shape, file, offset, byteLength } of stored.values()) {
      const [own, logical] = logicalTensor(name, format, shape);
      const address = file.address + offset;
      tensors.set(name, { name, shape: logical, format: own, byteLength, address });
    }
    this.tensors = tensors;
  }

  bytes(name: string): Uint8Array {
    const stored = this.#stored.get(name);
    if (stored) return stored.file.view(stored.offset, stored.byteLength);
    throw new WrinkleFreeError("not_found", `${this.path}: no tensor ${name}`, {
      file: this.path,
      tensor: name,
    });
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) file[Symbol.dispose]();
  }
}
