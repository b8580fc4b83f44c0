// Options of `wrinklefree bench`.

export interface BenchOptions {
  readonly model?: string;
  readonly shape: string;
  readonly threads?: number;
  readonly isa?: string;
  readonly layout?: string;
  readonly ctxSize: number;
  readonly prefill: number[];
  readonly depth: number[];
  readonly batch: number[];
  readonly repetitions: number;
  readonly steps: number;
  readonly head: "auto" | "full" | "screen";
  readonly json?: boolean;
  readonly tape?: boolean;
  readonly time?: boolean;
  readonly cacheTypeK: "f16" | "q8_0";
  readonly cacheTypeV: "f16" | "q8_0";
}
