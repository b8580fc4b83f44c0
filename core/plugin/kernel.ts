// The Kernel interface: a shared library of native ops that describes itself.

/** A library that exports `wf_library()`; see kernels-zig/abi.zig and docs/PLUGINS.md. */
export interface Kernel {
  readonly name: string;
  /** Path or file: URL of the shared library. */
  readonly library: string | URL;
  /** CPU features it needs ("avx2", "avx512vnni", ...); it is left out where one is missing. */
  readonly needs?: readonly string[];
}
