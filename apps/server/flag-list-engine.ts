// The flags of `wrinklefree serve` that say how the engine runs a model.
import { bytes, decimal, type FlagGroup, integer } from "./flags.ts";

const kvTypes = ["f16", "q8_0"];

export const engineGroup: FlagGroup = {
  heading: "Engine:",
  flags: [
    {
      flags: "-t, --threads <n>",
      env: "THREADS",
      parse: integer(-1, 1024),
      text: "threads (default: the cores)",
    },
    {
      flags: "--parallel <n>",
      env: "N_PARALLEL",
      parse: integer(1, 4096),
      default: 64,
      text: "requests that run at the same time; they share the KV memory, not the context (also -np)",
    },
    {
      flags: "-b, --batch-size <n>",
      env: "BATCH",
      parse: integer(1, 65536),
      default: 512,
      text: "tokens of one step",
    },
    {
      flags: "--queue <n>",
      env: "QUEUE",
      parse: integer(0, 1 << 20),
      default: 1024,
      text: "requests that may wait; more get 429",
    },
    {
      flags: "--max-step-ms <ms>",
      env: "MAX_STEP_MS",
      parse: decimal(1),
      default: 250,
      text: "how long reading a prompt may hold up running answers",
    },
    {
      flags: "--kv-memory <size>",
      env: "KV_MEMORY",
      parse: bytes,
      text: "memory of the KV cache (default: half of what is free, at most what all requests need)",
    },
    {
      flags: "--cache-type-k <type>",
      env: "CACHE_TYPE_K",
      choices: kvTypes,
      default: "f16",
      text: "type of cached keys (also -ctk)",
    },
    {
      flags: "--cache-type-v <type>",
      env: "CACHE_TYPE_V",
      choices: kvTypes,
      default: "f16",
      text: "type of cached values (also -ctv)",
    },
    {
      flags: "--draft-max <n>",
      env: "DRAFT_MAX",
      parse: integer(0, 64),
      default: 3,
      text: "tokens that prompt lookup proposes at most, 0: none; the text stays the same",
    },
    {
      flags: "--mmap",
      env: "MMAP",
      text: "run weights from the file where that is possible: less memory, slower",
    },
    {
      flags: "--experts-resident <n>",
      env: "EXPERTS_RESIDENT",
      parse: integer(0, 4096),
      text: "experts of each layer kept in memory, the most used; others run from the file (default: all)",
    },
    {
      flags: "--isolate",
      env: "ISOLATE",
      text: "run the engine in a process of its own, so that its crash loses running answers only",
    },
    {
      flags: "--isa <name>",
      env: "ISA",
      choices: ["generic", "avx2", "avx512", "neon"],
      text: "instruction set (default: the best here)",
    },
    { flags: "--layout <name>", env: "LAYOUT", text: "ternary layout (default: measured)" },
    {
      flags: "--gemm <name>",
      env: "GEMM",
      text: "products of many rows: plain, or hybrid on AVX-512 (default: measured)",
    },
  ],
};
