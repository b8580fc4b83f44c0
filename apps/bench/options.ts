// Options of `wrinklefree bench`.

export interface BenchOptions {
  readonly model?: string;
  readonly shape: string;
  readonly threads?: number;
  readonly isa?: string;
  readonly layout?: string;
  readonly gemm?: string;
  readonly ctxSize?: number;
  readonly prefill: number[];
  readonly depth: number[];
  readonly batch: number[];
  readonly repetitions: number;
  readonly steps: number;
  readonly head: "auto" | "full" | "screen";
  readonly cacheTypeK: "f16" | "q8_0";
  readonly cacheTypeV: "f16" | "q8_0";
  readonly plugin?: readonly string[];
  readonly json?: boolean;
  readonly svg?: string;
  readonly compare?: string;
  readonly tolerance: number;
  readonly tape?: boolean;
  readonly time?: boolean;
  readonly load?: boolean;
  readonly neighbours?: number;
  readonly mmap?: boolean;
  readonly expertsResident?: number;
  readonly url?: string;
  readonly apiKey?: string;
  readonly concurrency: number[];
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly longPrompt: number;
  readonly sharedPrefix: number;
  readonly rate?: number[];
  readonly duration: number;
  readonly deadlineMs: number;
  readonly gapMs: number;
  readonly price?: number;
}
