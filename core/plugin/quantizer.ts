// The Quantizer interface: one storage format of a tensor, as plain TypeScript that is the truth.

/** [rows, columns] of a linear, or [n] of a vector, or [experts, rows, columns] of stacked experts. */
export type Shape = readonly number[];

/** Encoded bytes, with what some formats keep apart from them. */
export interface TensorData {
  readonly bytes: Uint8Array;
  /**
   * Scales that the file keeps in another tensor (hf-packed, tl1, tl2, sglang, stacked experts):
   * always the factor to multiply by, whatever the file's own convention. One a tensor, or one an expert.
   */
  readonly scale?: Float32Array;
  /** Format parameters that the bytes do not tell (tl1/tl2 tiles: bm, bk, by). */
  readonly parameters?: Readonly<Record<string, number>>;
}

/** Ternary values apart from their scales. */
export interface Trits {
  /** -1, 0 or 1, row-major. */
  readonly trits: Int8Array;
  /** The factor of each group: one a tensor, an expert, a row or a group of a row. */
  readonly scales: Float32Array;
}

/** Encodes to and decodes from one storage format. `decode` defines what the bytes mean. */
export interface Quantizer {
  /** The format's name in the field: "i2_s", "tq2_0", "hf-packed", "f16". */
  readonly format: string;
  /** GGML type id in a GGUF file, if the format can be stored there. */
  readonly ggufType?: number;
  /** Set for formats whose values are {-1, 0, 1} times a scale. */
  readonly ternary?: {
    /**
     * Elements of a row that share one scale; undefined = one scale for the whole tensor
     * (for each expert of stacked ones); Infinity = one scale a row.
     */
    readonly group?: number;
    /** Whether `encode` returns the scale apart from the bytes and `decode` needs it. */
    readonly separateScale?: boolean;
    /** Exact decode without a detour over floats; must agree with `decode`. */
    unpack?(data: TensorData, shape: Shape): Trits;
    /** Exact encode of trits and their scales; must agree with `encode`. */
    pack?(weights: Trits, shape: Shape): TensorData;
  };
  /** Encoded size in bytes. Throws `unsupported` with the reason for a shape the format cannot hold. */
  byteLength(shape: Shape, parameters?: Readonly<Record<string, number>>): number;
  /** The parameters that encoding a tensor of `shape` chooses (tl1/tl2 tiles), for the file's header. */
  parameters?(shape: Shape): Readonly<Record<string, number>>;
  /** Encodes row-major float32 values. A ternary format encodes t * scale values without loss. */
  encode(values: Float32Array, shape: Shape): TensorData;
  /** Decodes to row-major float32 values; ternary ones are exactly -scale, 0 or +scale. */
  decode(data: TensorData, shape: Shape): Float32Array;
  /**
   * A ternary format's scales alone, one a group in row-major order (see `ternary.group`): lets the
   * engine load through a native unpack of the same format without decoding every value here.
   */
  scales?(data: TensorData, shape: Shape): Float32Array;
}
