// What `wrinklefree batch` is asked to do.

export interface BatchOptions {
  readonly output?: string;
  readonly model?: string;
  readonly ctxSize?: number;
  readonly threads?: number;
  readonly parallel: number;
  /** Index from 0, and count. */
  readonly shard?: readonly [number, number];
  readonly url?: string;
  readonly apiKey?: string;
}
