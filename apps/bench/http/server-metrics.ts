// What a server says about itself at /metrics: tokens it counted, its memory.
import { authorization, type Server } from "./stream.ts";

/** Counters since the server's start; undefined where it does not say. */
export interface ServerCounts {
  /** Computed, without those from the cache. */
  readonly promptTokens?: number;
  readonly cachedTokens?: number;
  readonly generatedTokens?: number;
  readonly residentBytes?: number;
}

/** Names of llama.cpp and ourselves, vLLM and SGLang. */
const names = {
  promptTokens: ["llamacpp:prompt_tokens_total"],
  cachedTokens: [
    "llamacpp:prompt_tokens_cached_total",
    "vllm:prefix_cache_hits_total",
    "sglang:cached_tokens_total",
  ],
  generatedTokens: [
    "llamacpp:tokens_predicted_total",
    "vllm:generation_tokens_total",
    "sglang:generation_tokens_total",
  ],
  residentBytes: ["process_resident_memory_bytes"],
} as const;

/** Never rejects: a server without /metrics says nothing. */
export async function serverCounts(server: Server): Promise<ServerCounts> {
  const reply = await fetch(`${server.url}/metrics`, { headers: authorization(server) }).catch(
    () => undefined,
  );
  const text = reply?.ok ? await reply.text() : "";
  const value = (list: readonly string[]): number | undefined => {
    const pattern = new RegExp(`^(?:${list.join("|")})(?:\\{.*\\})? ([\\d.e+-]+)$`, "m");
    const found = pattern.exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  return {
    promptTokens: value(names.promptTokens),
    cachedTokens: value(names.cachedTokens),
    generatedTokens: value(names.generatedTokens),
    residentBytes: value(names.residentBytes),
  };
}
