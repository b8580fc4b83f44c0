// What convert can be asked to do, and what it reports.
export interface ConvertOptions {
  /** Model file, checkpoint folder or checkpoint file. */
  readonly source: string;
  /** File to write (GGUF), or folder (Hugging Face). */
  readonly output: string;
  /** Format of the ternary linears: a Quantizer's name. Default i2_s. */
  readonly quantize?: string;
  /** Format of token_embd (default f16) and of output (default f16). */
  readonly embedding?: string;
  readonly head?: string;
  /** Ternarize a dense model by absmean, whatever that does to it. */
  readonly naive?: boolean;
  /** How a packed checkpoint's weight_scale is read, where its config is wrong. */
  readonly weightScale?: "direct" | "inverse";
  /** config.json to use where the checkpoint has none (path). */
  readonly config?: string;
  /** general.name; default: the source's own, else its file name. */
  readonly name?: string;
  /** Compare the output with the source, tensor by tensor (default true). */
  readonly verify?: boolean;
  /** After that, compare logits of 32 tokens on both, where there is memory for it (default false). */
  readonly forward?: boolean;
  /** Only tell what would be written. */
  readonly dryRun?: boolean;
  /** Go on with a conversion that was cut off. */
  readonly resume?: boolean;
  /** Replace an existing output (default true). */
  readonly overwrite?: boolean;
  /** Threads (default: the machine's), where `plugins` lets other threads build the same registry. */
  readonly threads?: number;
  /** Modules of the plugins in the registry besides the standard set. */
  readonly plugins?: readonly string[];
  /** Whether the report has the output's sha256 (default true). */
  readonly checksum?: boolean;
  readonly mixture?: FakeMixture;
  readonly progress?: (state: Progress) => void;
  /** What deserves a person's attention, one line each. */
  readonly warn?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** Turns a dense model into a mixture of equal experts (`--fake-moe`). */
export interface FakeMixture {
  readonly experts: number;
  readonly topK: number;
  readonly router: "identity" | "top-k";
  /** One sub-norm for all experts instead of a copy each. */
  readonly shareExperts?: boolean;
  /** Seed of the top-k router's random weights. */
  readonly seed?: number;
}

export interface Progress {
  readonly phase: "fetch" | "write" | "verify";
  readonly tensor: string;
  readonly bytes: number;
  readonly totalBytes: number;
}

export interface LogitComparison {
  readonly tokens: number;
  /** Every logit equal, bit for bit. */
  readonly identical: boolean;
  readonly smallestCosine: number;
  readonly largestDifference: number;
  /** Positions whose best token is the same. */
  readonly sameBest: number;
}

export interface ConvertReport {
  readonly output: string;
  readonly bytes: number;
  readonly tensors: number;
  /** Weights in ternary tensors, and how many of them were compared bit for bit. */
  readonly ternaryWeights: number;
  readonly verifiedWeights: number;
  readonly sha256?: string;
  /** With `forward`: how the output's logits compare with the source's, or why they were not. */
  readonly logits?: LogitComparison;
  readonly noLogits?: string;
  readonly seconds: number;
  readonly warnings: readonly string[];
}
