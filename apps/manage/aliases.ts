// Short names of the known ternary models: where their weights are on the Hugging Face hub.

/** A model that a short name stands for. */
export interface KnownModel {
  /** owner/name, or owner/name:file.gguf. */
  readonly source: string;
  readonly about: string;
}

/** Small letters, by family and size. Instruction-tuned where there is such a version. */
export const aliases: Readonly<Record<string, KnownModel>> = {
  "bitnet-2b": {
    source: "microsoft/bitnet-b1.58-2B-4T-gguf",
    about: "Microsoft BitNet b1.58 2B4T, chat",
  },
  "falcon-e-1b": { source: "tiiuae/Falcon-E-1B-Instruct", about: "Falcon-Edge 1B, chat" },
  "falcon-e-3b": { source: "tiiuae/Falcon-E-3B-Instruct", about: "Falcon-Edge 3B, chat" },
  "falcon3-1b": { source: "tiiuae/Falcon3-1B-Instruct-1.58bit", about: "Falcon3 1B, chat" },
  "falcon3-3b": { source: "tiiuae/Falcon3-3B-Instruct-1.58bit", about: "Falcon3 3B, chat" },
  "falcon3-7b": { source: "tiiuae/Falcon3-7B-Instruct-1.58bit", about: "Falcon3 7B, chat" },
  "falcon3-10b": { source: "tiiuae/Falcon3-10B-Instruct-1.58bit", about: "Falcon3 10B, chat" },
  "llama3-8b": {
    source: "HF1BitLLM/Llama3-8B-1.58-100B-tokens",
    about: "Llama 3 8B, fine-tuned to 1.58 bits",
  },
  "bonsai-1.7b": {
    source: "prism-ml/Ternary-Bonsai-1.7B-gguf",
    about: "Ternary Bonsai 1.7B, chat",
  },
  "bonsai-4b": { source: "prism-ml/Ternary-Bonsai-4B-gguf", about: "Ternary Bonsai 4B, chat" },
  "bonsai-8b": { source: "prism-ml/Ternary-Bonsai-8B-gguf", about: "Ternary Bonsai 8B, chat" },
  "bitnet-large": { source: "1bitLLM/bitnet_b1_58-large", about: "BitNet b1.58 0.7B, base" },
  "bitnet-3b": { source: "1bitLLM/bitnet_b1_58-3B", about: "BitNet b1.58 3B, base" },
};
