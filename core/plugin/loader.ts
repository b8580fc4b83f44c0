// The Loader interface: finds the bytes of a model file's tensors and its metadata; decodes nothing.

/** A GGUF-like metadata value. 64-bit integers beyond 2^53 are bigint. */
export type MetadataValue =
  | string
  | number
  | bigint
  | boolean
  | readonly string[]
  | readonly number[]
  | readonly boolean[]
  | Float32Array
  | Int32Array;

/** Where one tensor lies. `shape` is row-major with the outermost dimension first: a linear is [out, in]. */
export interface TensorInfo {
  readonly name: string;
  readonly shape: readonly number[];
  /** Name of the Quantizer that decodes it ("i2_s", "f16", "hf-packed"...). */
  readonly format: string;
  /** Bytes in the mapped file. */
  readonly byteLength: number;
  /** Native address of the first byte, valid until the ModelFile is disposed. */
  readonly address: number;
  /** What the format's bytes do not tell (tl1/tl2 tiles): for TensorData.parameters. */
  readonly parameters?: Readonly<Record<string, number>>;
}

/** `count` strings in a row: each a 64-bit little-endian length, then its UTF-8 bytes. */
export interface PackedStrings {
  readonly bytes: Uint8Array;
  readonly count: number;
}

/** The parts a tokenizer is built from, as the file states them. */
export type TokenizerSource =
  | {
      readonly kind: "gguf";
      readonly metadata: Readonly<Record<string, MetadataValue>>;
      /** A string array as it lies in the file, for those who need no JavaScript strings. */
      strings?(key: string): PackedStrings | undefined;
    }
  | {
      readonly kind: "hf";
      /** Parsed tokenizer.json and tokenizer_config.json. */
      readonly tokenizer: unknown;
      readonly config: Readonly<Record<string, unknown>>;
    };

/** An open model file or directory. Tensor names are the source's own names. */
export interface ModelFile {
  readonly path: string;
  readonly kind: "gguf" | "huggingface" | (string & {});
  /**
   * GGUF: the key-value pairs. Hugging Face: the parsed config.json under "config"
   * (use `config`), plus nothing else.
   */
  readonly metadata: Readonly<Record<string, MetadataValue>>;
  /** Parsed config.json (Hugging Face sources). */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Parsed generation_config.json (Hugging Face sources that have one). */
  readonly generationConfig?: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly tokenizer?: TokenizerSource;
  readonly chatTemplate?: string;
  /** The tensor's bytes as a view on the mapping (no copy). Throws `not_found` for an unknown name. */
  bytes(name: string): Uint8Array;
  [Symbol.dispose](): void;
}

export interface OpenOptions {
  /** config.json to use in place of the checkpoint's own (parsed). */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Opens one kind of model file. */
export interface Loader {
  readonly name: string;
  /**
   * Whether this loader reads `path`; `head` holds the first bytes (at most 64) of a file and is
   * empty for a directory. Must not throw.
   */
  accepts(path: string, head: Uint8Array): boolean;
  /** Opens and validates: sizes, offsets, counts, names. Throws `bad_file` naming file and field. */
  open(path: string, options?: OpenOptions): Promise<ModelFile>;
}
