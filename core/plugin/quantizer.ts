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
  };
  /** Encoded size in bytes. Throws `unsupported` with the reason for a shape the format cannot hold. */
  byteLength(shape: Shape, parameters?: Readonly<Record<string, number>>): number;
  /** Encodes row-major float32 values. A ternary format encodes t * scale values without loss. */
  encode(values: Float32Array, shape: Shape): TensorData;
  /** Decodes to row-major float32 values; ternary ones are exactly -scale, 0 or +scale. */
  decode(data: TensorData, shape: Shape): Float32Array;
}
